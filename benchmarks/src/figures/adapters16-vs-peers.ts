import { compareOverHttp, loadOf, outputRates } from '../peers/compare.ts';
import type { Polylora } from '../peers/polylora.ts';
import type { RunningTarget } from '../peers/running-target.ts';
import { PEER_WORKLOAD, type PeerSetting, withPeerSetting } from '../peers/setting.ts';
import { installVllm, startVllm, VllmUnavailable } from '../peers/vllm.ts';
import { formatSpread, ratioSpread, spread } from '../statistics.ts';
import { type Figure, type FigureOptions, type Measured, NotMeasurable } from './figure.ts';

const ROUNDS = 5;
const CLIENTS = 16;
const ON = `16 clients on 16 distinct rank-16 adapters (${PEER_WORKLOAD.promptTokens} tokens in, ${PEER_WORKLOAD.newTokens} out, over HTTP)`;

export const adapters16VsLlama: Figure = {
  name: 'adapters16-vs-llama',
  description: `output tok/s of ${ON} ÷ llama-server's with the same adapters on Q4_0`,
  must: '>=',
  bound: 5,
  measure: (options) =>
    against(
      'llama-server, adapters',
      (setting) => setting.startLlama({ clients: CLIENTS, adapters: true }),
      options,
    ),
};

export const adapters16VsLlamaBase: Figure = {
  name: 'adapters16-vs-llama-base',
  description: `output tok/s of ${ON} ÷ llama-server's on its Q4_0 base model, no adapter loaded`,
  must: '>=',
  bound: 1.7,
  measure: (options) =>
    against(
      'llama-server, base',
      (setting) => setting.startLlama({ clients: CLIENTS, adapters: false }),
      options,
    ),
};

export const adapters16VsVllm: Figure = {
  name: 'adapters16-vs-vllm',
  description: `output tok/s of ${ON} ÷ vLLM's on CPU with the same adapters (bf16; f32 without AVX-512)`,
  must: '>=',
  bound: 20,
  async measure(options) {
    const vllm = await installVllm().catch((error: unknown) => {
      throw error instanceof VllmUnavailable ? new NotMeasurable(error.message) : error;
    });
    return against(
      `vLLM ${vllm.dtype}, adapters`,
      (setting) => startVllm(vllm, setting, { clients: CLIENTS, adapters: true }),
      options,
    );
  },
};

/** Polylora with sixteen adapters against one other server, alternating. */
async function against(
  name: string,
  start: (setting: PeerSetting) => Promise<RunningTarget>,
  { rounds = ROUNDS }: FigureOptions,
): Promise<Measured> {
  return withPeerSetting(async (setting) => {
    const running: (Polylora | RunningTarget)[] = [];
    try {
      const polylora = await setting.startPolylora();
      running.push(polylora);
      const peer = await start(setting);
      running.push(peer);
      const [ours, theirs] = await compareOverHttp(
        [
          { name: 'Polylora, adapters', target: polylora.adapters },
          { name, target: peer },
        ],
        loadOf(CLIENTS, PEER_WORKLOAD),
        rounds,
      );
      const ratio = ratioSpread(outputRates(ours), outputRates(theirs));
      return {
        value: ratio.median,
        details: [
          ...[ours, theirs].map((side) => `${side.name}: ${formatSpread(spread(outputRates(side)))} tok/s`),
          `ratio: ${formatSpread(ratio, 2)} in ${rounds} rounds`,
        ],
      };
    } finally {
      await Promise.all(running.map((each) => each.stop()));
    }
  });
}
