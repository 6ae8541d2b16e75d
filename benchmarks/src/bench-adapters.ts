// `npm run bench:adapters [-- --rounds N] [--clients N] [--requests N] [--counts 1,5,100,1000,2000] [--quick]`: one gateway
// with many adapters, more than its page pool holds; requests go to the first so many of them. `--quick`: 300 at most.
import { parseArgs } from 'node:util';
import { adapterReportLines, fleetRow } from './adapters/adapter-report.ts';
import type { Popularity } from './adapters/popularity.ts';
import { FLEET_LOAD, FLEET_POOL_MEGABYTES, type Setting, withServedFleet } from './adapters/served-fleet.ts';
import { alternate } from './alternate.ts';
import type { Load } from './http/load.ts';
import { writeReport } from './report.ts';

const POPULARITIES: readonly Popularity[] = ['Zipf', 'uniform'];

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '2' },
    clients: { type: 'string', default: String(FLEET_LOAD.clients) },
    requests: { type: 'string', default: String(FLEET_LOAD.requestsPerClient) },
    counts: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const counts = (values.counts ?? (values.quick ? '1,5,100,300' : '1,5,100,1000,2000')).split(',').map(Number);
const load: Load = {
  ...FLEET_LOAD,
  clients: Number(values.clients),
  requestsPerClient: Number(values.requests),
};

// One adapter is as popular either way.
const settings: readonly Setting[] = counts.flatMap((count) =>
  (count === 1 ? ['uniform' as const] : POPULARITIES).map((popularity) => ({ count, popularity })),
);

const { fleet, rows } = await withServedFleet(Math.max(...counts), async ({ fleet, measure }) => {
  const sides = settings.map((setting, index) => ({
    name: `${setting.count} ${setting.popularity}`,
    measure: (round: number) => measure(setting, load, round * settings.length + index),
  }));
  const results = await alternate(sides, rounds, (round, measured) => {
    const loads = measured.map((result, index) => `${sides[index]?.name} ${result.loads}`);
    console.error(`round ${round} of ${rounds}, adapters read: ${loads.join(', ')}`);
  });
  return {
    fleet,
    rows: settings.map(({ count, popularity }, index) => fleetRow(count, popularity, results[index] ?? [])),
  };
});
writeReport(
  'adapters',
  'From one adapter to thousands',
  adapterReportLines(rows, { load, rounds, fleet, poolMegabytes: FLEET_POOL_MEGABYTES }),
  { load, rounds, fleetBytes: fleet.bytes, poolMegabytes: FLEET_POOL_MEGABYTES, settings: rows },
);
