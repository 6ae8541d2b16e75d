import type { Figure } from '../figure.ts';
import { formatSpread } from '../statistics.ts';
import { measureThroughput } from '../throughput.ts';

const ROUNDS = 5;
const ASKED = 300;

export const adapters16x16: Figure = {
  name: 'adapters-16x16',
  title: 'Tokens per second of 16 streams on 16 distinct rank-16 adapters, prompts included, on two cores',
  asked: `at least ${ASKED} tok/s`,
  async measure() {
    const { adapters, base } = await measureThroughput(ROUNDS, ['--threads', '2']);
    const besides = `while all decode ${formatSpread(adapters.decodeTokensPerSecond)}; base model ${formatSpread(base.tokensPerSecond)}`;
    return {
      measured: `${formatSpread(adapters.tokensPerSecond)} tok/s; ${besides}`,
      met: adapters.tokensPerSecond.median >= ASKED,
    };
  },
};
