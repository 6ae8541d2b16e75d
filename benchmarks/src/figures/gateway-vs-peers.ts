import { alternate } from '../alternate.ts';
import type { LoadResult, LoadTarget } from '../gateway/load.ts';
import { type RunningPeer, startLiteLlm, startPortkey } from '../gateway/peers.ts';
import { withGatewaySetting } from '../gateway/setting.ts';
import { formatSpread, ratioSpread, spread } from '../statistics.ts';
import { type Figure, NotMeasurable } from './figure.ts';

const ROUNDS = 3;
const LOAD = { kind: 'closed', connections: 64, warmUpSeconds: 3, seconds: 8 } as const;
/** First requests load what later ones have. */
const FIRST = { kind: 'closed', connections: 2, warmUpSeconds: 0, seconds: 15 } as const;
const LEAST_TIMES_LITELLM = 20;

export const gatewayVsPeers: Figure = {
  name: 'gateway-vs-peers',
  description: `requests a second through the gateway ÷ through Portkey's (and at least ${LEAST_TIMES_LITELLM} × LiteLLM's), at ${LOAD.connections} connections, not streamed, p99 no worse; two cores are shared with the stub and the load generator`,
  must: '>=',
  bound: 4,
  measure: ({ rounds = ROUNDS }) =>
    withGatewaySetting(async ({ generator, stubUrl, gateway }) => {
      const peers: RunningPeer[] = [];
      try {
        try {
          peers.push(await startPortkey(stubUrl), await startLiteLlm(stubUrl));
        } catch (error) {
          throw new NotMeasurable(error instanceof Error ? error.message : String(error));
        }
        const side = (name: string, target: LoadTarget) => ({
          name,
          measure: () => generator.run({ ...LOAD, target }),
        });
        for (const { target } of peers) await generator.run({ ...FIRST, target });
        const [portkey, liteLlm] = peers as [RunningPeer, RunningPeer];
        const [ours, portkeys, liteLlms] = await alternate(
          [side('Polylora', gateway), side(portkey.name, portkey.target), side(liteLlm.name, liteLlm.target)],
          rounds,
          () => {},
        );
        const rates = (results: readonly LoadResult[]) => results.map(({ perSecond }) => perSecond);
        const p99s = (results: readonly LoadResult[]) => results.map(({ p99 }) => p99);
        const line = (name: string, results: readonly LoadResult[]) =>
          `${name}: ${formatSpread(spread(rates(results)))} requests a second, p99 ${formatSpread(spread(p99s(results)), 1)} ms`;
        const [toPortkey, toLiteLlm] = [
          ratioSpread(rates(ours), rates(portkeys)),
          ratioSpread(rates(ours), rates(liteLlms)),
        ];
        const details = [
          line('Polylora', ours),
          line(portkey.name, portkeys),
          line(liteLlm.name, liteLlms),
          `× Portkey ${formatSpread(toPortkey, 2)}; × LiteLLM ${formatSpread(toLiteLlm, 1)} must >= ${LEAST_TIMES_LITELLM}`,
        ];
        const ownP99 = spread(p99s(ours)).median;
        const theirP99 = Math.min(...[portkeys, liteLlms].map((results) => spread(p99s(results)).median));
        const alsoShort = [
          toLiteLlm.median < LEAST_TIMES_LITELLM &&
            `${toLiteLlm.median.toFixed(1)} times LiteLLM's requests, not ${LEAST_TIMES_LITELLM}`,
          ownP99 > theirP99 && `p99 is ${ownP99.toFixed(1)} ms, a peer's ${theirP99.toFixed(1)}`,
        ];
        return { value: toPortkey.median, details, alsoShort };
      } finally {
        for (const peer of peers) await peer.stop();
      }
    }),
};
