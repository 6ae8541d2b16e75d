import { alternate } from '../alternate.ts';
import { withGatewaySetting } from '../gateway/setting.ts';
import { formatSpread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 5;
const LOAD = { kind: 'closed', connections: 64, warmUpSeconds: 2, seconds: 5 } as const;
const STREAMS = { kind: 'streams', streams: 1_000, tokens: 200, perSecond: 20 } as const;

export const gatewayThroughput: Figure = {
  name: 'gateway-throughput',
  description: `requests a second through the gateway, not streamed, at ${LOAD.connections} connections, without an engine; two cores are shared with the stub behind it and the load generator`,
  must: '>=',
  bound: 6_000,
  measure: ({ rounds = ROUNDS }) =>
    withGatewaySetting(async ({ generator, direct, passThrough, gateway }) => {
      const side = (name: string, target: typeof direct) => ({
        name,
        measure: () => generator.run({ ...LOAD, target }),
      });
      const [results, least] = await alternate(
        [side('the gateway', gateway), side('a bare pass-through', passThrough)],
        rounds,
        () => {},
      );
      const without = await generator.run({ ...LOAD, target: direct });
      const streams = await generator.run({ ...STREAMS, target: gateway });
      const rate = spread(results.map(({ perSecond }) => perSecond));
      const share = spread(results.map(({ perSecond }, round) => perSecond / (least[round]?.perSecond ?? 0)));
      return {
        value: rate.median,
        alsoShort: [
          streams.keptUp < streams.streams &&
            `${streams.streams - streams.keptUp} of ${streams.streams} streams fell behind`,
        ],
        details: [
          `${formatSpread(rate)} requests a second in ${rounds} rounds; latency p50 ${formatSpread(spread(results.map(({ p50 }) => p50)), 2)} ms, p99 ${formatSpread(spread(results.map(({ p99 }) => p99)), 2)} ms`,
          `a bare pass-through of Hono and undici, with an HMAC and a zod parse, beside it: ${formatSpread(spread(least.map(({ perSecond }) => perSecond)))}; the gateway has ${formatSpread(share, 2)} of that (where the bound was set: 6,000 of 17,000, 0.35)`,
          `straight to the stub: ${without.perSecond.toFixed(0)}`,
          `${streams.streams} streams of ${STREAMS.perSecond} tokens a second: ${streams.keptUp} kept up, the slowest at ${streams.slowest.toFixed(2)}; between tokens p50 ${streams.gapP50.toFixed(1)} ms, p99 ${streams.gapP99.toFixed(1)} ms`,
        ],
      };
    }),
};
