import type { Figure } from '../figure.ts';
import { formatSpread } from '../statistics.ts';
import { CHAT, measureThroughput, PROMPT_HEAVY, type Workload } from '../throughput.ts';

const ROUNDS = 5;
const ASKED = 300;

export const adapters16x16 = throughput('adapters-16x16', CHAT);
export const adapters16x16PromptHeavy = throughput('adapters-16x16-prompt-heavy', PROMPT_HEAVY);

function throughput(name: string, workload: Workload): Figure {
  const lengths = `${workload.promptTokens} tokens in, ${workload.newTokens} out`;
  return {
    name,
    title: `New tokens per second of 16 streams on 16 distinct rank-16 adapters, prompts included, on two cores; ${lengths}`,
    asked: `at least ${ASKED} tok/s`,
    async measure() {
      const { adapters, base } = await measureThroughput(workload, ROUNDS, ['--threads', '2']);
      const besides = `while all decode ${formatSpread(adapters.decodeTokensPerSecond)}; base model ${formatSpread(base.tokensPerSecond)}`;
      return {
        measured: `${formatSpread(adapters.tokensPerSecond)} tok/s; ${besides}`,
        met: adapters.tokensPerSecond.median >= ASKED,
      };
    },
  };
}
