import { alternate } from '../alternate.ts';
import { withGatewaySetting } from '../gateway/setting.ts';
import { formatSpread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 7;
const LOAD = { kind: 'open', perSecond: 500, warmUpSeconds: 1, seconds: 6 } as const;
const MOST_ADDED_P99 = 2;

export const gatewayOverhead: Figure = {
  name: 'gateway-overhead',
  description: `ms that the gateway adds to a request at the median, at ${LOAD.perSecond} a second (at p99 at most ${MOST_ADDED_P99}), without an engine; keys, limits, budgets, metrics and the log are on`,
  must: '<=',
  bound: 0.5,
  measure: ({ rounds = ROUNDS }) =>
    withGatewaySetting(async ({ generator, direct, passThrough, gateway }) => {
      const side = (name: string, target: typeof direct) => ({
        name,
        measure: () => generator.run({ ...LOAD, target }),
      });
      const [without, through, least] = await alternate(
        [
          side('straight to the stub', direct),
          side('through the gateway', gateway),
          side('through a bare pass-through', passThrough),
        ],
        rounds,
        () => {},
      );
      const added = (key: 'p50' | 'p99', results = through) =>
        spread(results.map((result, round) => result[key] - (without[round]?.[key] ?? Number.NaN)));
      const [p50, p99] = [added('p50'), added('p99')];
      const details = [
        `added at the median ${formatSpread(p50, 3)} ms, at p99 ${formatSpread(p99, 3)} ms, in ${rounds} rounds`,
        `a bare pass-through of Hono and undici adds ${formatSpread(added('p50', least), 3)} ms at the median, ${formatSpread(added('p99', least), 3)} ms at p99`,
        `straight: p50 ${formatSpread(spread(without.map((each) => each.p50)), 3)}, p99 ${formatSpread(spread(without.map((each) => each.p99)), 3)}`,
        `through the gateway: p50 ${formatSpread(spread(through.map((each) => each.p50)), 3)}, p99 ${formatSpread(spread(through.map((each) => each.p99)), 3)}`,
      ];
      const alsoShort = [
        p99.median > MOST_ADDED_P99 &&
          `${p99.median.toFixed(3)} ms are added at p99, at most ${MOST_ADDED_P99} may be`,
      ];
      return { value: p50.median, details, alsoShort };
    }),
};
