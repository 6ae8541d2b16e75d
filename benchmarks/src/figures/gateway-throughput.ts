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
    withGatewaySetting(async ({ generator, direct, gateway }) => {
      const results = [];
      for (let round = 0; round <= rounds; round++) {
        const result = await generator.run({ ...LOAD, target: gateway });
        if (round > 0) results.push(result);
      }
      const without = await generator.run({ ...LOAD, target: direct });
      const streams = await generator.run({ ...STREAMS, target: gateway });
      if (streams.keptUp < streams.streams) {
        throw new Error(`${streams.streams - streams.keptUp} of ${streams.streams} streams fell behind`);
      }
      const rate = spread(results.map(({ perSecond }) => perSecond));
      return {
        value: rate.median,
        details: [
          `${formatSpread(rate)} requests a second in ${rounds} rounds; latency p50 ${formatSpread(spread(results.map(({ p50 }) => p50)), 2)} ms, p99 ${formatSpread(spread(results.map(({ p99 }) => p99)), 2)} ms`,
          `straight to the stub: ${without.perSecond.toFixed(0)}`,
          `${streams.streams} streams of ${STREAMS.perSecond} tokens a second: ${streams.keptUp} kept up, the slowest at ${streams.slowest.toFixed(2)}; between tokens p50 ${streams.gapP50.toFixed(1)} ms, p99 ${streams.gapP99.toFixed(1)} ms`,
        ],
      };
    }),
};
