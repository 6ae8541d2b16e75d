import { alternate } from '../alternate.ts';
import { decodeBytes } from '../default-model.ts';
import { measureLimits } from '../kernels/rust-bench.ts';
import { type LocalRates, withLocalSides } from '../peers/local-sides.ts';
import { formatSpread, ratioSpread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 5;
const CONTEXT = 512;
const NEW_TOKENS = 65;

/**
 * Ours, in this process: from the first token handed out to the last, sampling and detokenization included.
 * llama.cpp's, in llama-batched-bench: a decode call for each token, which is random instead of sampled.
 */
export const stream1VsLlama: Figure = {
  name: 'stream1-vs-llama',
  description: `decode tok/s of one stream, base model, context ${CONTEXT} ÷ llama.cpp's on Q8_0, which reads as many bytes`,
  must: '>=',
  bound: 1.4,
  async measure({ rounds = ROUNDS }) {
    return withLocalSides(async (sides) => {
      const workload = { promptTokens: CONTEXT, newTokens: NEW_TOKENS };
      const [own, q8, q4] = await alternate(
        [sides.polylora(workload), sides.llama('Q8_0', workload), sides.llama('Q4_0', workload)],
        rounds,
        (round, results) => {
          const [ours, eight, four] = results.map((result) => result.decode.toFixed(0));
          console.error(
            `round ${round} of ${rounds}: Polylora ${ours}, llama.cpp Q8_0 ${eight}, Q4_0 ${four} tok/s`,
          );
        },
      );
      const bandwidth = (await measureLimits(sides.threads)).bytes;
      const ours = decode(own);
      const ratio = ratioSpread(ours, decode(q8));
      return {
        value: ratio.median,
        details: [
          `Polylora: ${formatSpread(spread(ours))} tok/s`,
          `llama.cpp Q8_0: ${formatSpread(spread(decode(q8)))} tok/s`,
          `llama.cpp Q4_0: ${formatSpread(spread(decode(q4)))} tok/s`,
          `÷ Q8_0: ${formatSpread(ratio, 2)} in ${rounds} rounds`,
          `÷ Q4_0: ${formatSpread(ratioSpread(ours, decode(q4)), 2)}`,
          limitShare(spread(ours).median, bandwidth),
        ],
      };
    });
  },
};

function decode(rates: readonly LocalRates[]): number[] {
  return rates.map((rate) => rate.decode);
}

/** No decode step is faster than reading its bytes from memory once, where no cache holds them. */
function limitShare(tokensPerSecond: number, bandwidth: number): string {
  const bytes = decodeBytes(CONTEXT + NEW_TOKENS / 2);
  const limit = bandwidth / bytes;
  return (
    `of the memory's limit: ${((100 * tokensPerSecond) / limit).toFixed(0)} % ` +
    `(${(bandwidth / 1e9).toFixed(1)} GB/s ÷ ${(bytes / 1e6).toFixed(1)} MB = ${limit.toFixed(0)} tok/s)`
  );
}
