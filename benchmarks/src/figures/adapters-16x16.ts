import type { Workload } from '../http/load.ts';
import { formatSpread } from '../statistics.ts';
import { CHAT, measureThroughput, PROMPT_HEAVY } from '../throughput.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 5;

export const adapters16x16 = throughput('adapters-16x16', CHAT);
export const adapters16x16PromptHeavy = throughput('adapters-16x16-prompt-heavy', PROMPT_HEAVY);

function throughput(name: string, workload: Workload): Figure {
  const lengths = `${workload.promptTokens} tokens in, ${workload.newTokens} out`;
  return {
    name,
    description: `new tok/s of 16 streams on 16 rank-16 adapters, prompts included, on two cores; ${lengths}`,
    must: '>=',
    bound: 300,
    async measure({ rounds = ROUNDS }) {
      const { adapters, base } = await measureThroughput(workload, rounds, ['--threads', '2']);
      return {
        value: adapters.tokensPerSecond.median,
        details: [
          `16 adapters: ${formatSpread(adapters.tokensPerSecond)} tok/s, ` +
            `${formatSpread(adapters.decodeTokensPerSecond)} while all decode`,
          `base model: ${formatSpread(base.tokensPerSecond)} tok/s`,
        ],
      };
    },
  };
}
