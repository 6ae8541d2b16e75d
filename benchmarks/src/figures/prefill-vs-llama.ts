import { alternate } from '../alternate.ts';
import { startGateway } from '../http/gateway.ts';
import { runLoad } from '../http/load.ts';
import { measureRates } from '../http/rates.ts';
import type { LlamaFormat } from '../peers/llama-models.ts';
import { withLocalSides } from '../peers/local-sides.ts';
import { formatSpread, ratioSpread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 5;
const PROMPT_TOKENS = 512;
const FORMAT: LlamaFormat = 'Q4_0';

/**
 * Ours, in this process: from `generate` on a token-id prompt until the first token has been sampled and handed out,
 * scheduling and detokenization included. llama.cpp's, in llama-batched-bench: one decode call of the whole prompt
 * and the logits of its last token, without sampling, so the comparison is a little in its favour.
 */
export const prefillVsLlama: Figure = {
  name: 'prefill-vs-llama',
  description: `tok/s of reading a ${PROMPT_TOKENS}-token prompt, base model, one request ÷ llama.cpp's on ${FORMAT}`,
  must: '>=',
  bound: 2.2,
  async measure({ rounds = ROUNDS }) {
    return withLocalSides(async (sides) => {
      const workload = { promptTokens: PROMPT_TOKENS, newTokens: 1 };
      const [ours, llama] = await alternate(
        [sides.polylora(workload), sides.llama(FORMAT, workload)],
        rounds,
        (round, results) => {
          const [own, other] = results.map((result) => result.prefill.toFixed(0));
          console.error(`round ${round} of ${rounds}: Polylora ${own}, llama.cpp ${other} tok/s`);
        },
      );
      const rates = ours.map((result) => result.prefill);
      const theirs = llama.map((result) => result.prefill);
      const ratio = ratioSpread(rates, theirs);
      const served = await prefillOverHttp(sides.model, sides.threads, rounds);
      return {
        value: ratio.median,
        details: [
          `Polylora: ${formatSpread(spread(rates))} tok/s`,
          `Polylora's gateway, as its client sees it: ${formatSpread(spread(served))} tok/s`,
          `llama.cpp ${FORMAT}: ${formatSpread(spread(theirs))} tok/s`,
          `ratio: ${formatSpread(ratio, 2)} in ${rounds} rounds`,
        ],
      };
    });
  },
};

/** From sending the request to the first token's arrival, in prompt tokens per second, one value a round. */
async function prefillOverHttp(model: string, threads: number, rounds: number): Promise<number[]> {
  const gateway = await startGateway(['--model', model, '--threads', String(threads)]);
  try {
    const target = { url: gateway.url, fields: () => ({ model: 'base' }) };
    const load = { promptTokens: PROMPT_TOKENS, newTokens: 1, clients: 1, requestsPerClient: 1 };
    const rates: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const { firstTokenMs } = measureRates(await runLoad(target, load, round + 1));
      if (round > 0) rates.push((PROMPT_TOKENS / firstTokenMs) * 1000);
    }
    return rates;
  } finally {
    await gateway.stop();
  }
}
