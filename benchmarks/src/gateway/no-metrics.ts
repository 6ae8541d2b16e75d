/** Loaded before a gateway (`node --import`) takes its metrics out: what is left is what it would be without any. */
import { CacheMeter } from '../../../gateway/dist/metrics/cache-meter.js';
import { Metrics } from '../../../gateway/dist/metrics/metrics.js';

const nothing = () => {};
const unmeasured = { see: nothing, end: nothing };
Object.assign(Metrics.prototype, {
  watchProcess: nothing,
  countHttp: nothing,
  countEmbedding: nothing,
  countSpend: nothing,
  sequence: () => unmeasured,
});
Object.assign(CacheMeter.prototype, { looked: nothing, embedded: nothing, verified: nothing });
