import { GREEDY as OF_ANY_LENGTH } from '../../benchmarks/src/greedy.ts';
import type { SamplingParams } from '../../engine/src/types.ts';

/** Greedy, no penalties, no stops; runs to `maxTokens` and reports no logprobs. */
export const GREEDY: SamplingParams = { ...OF_ANY_LENGTH, maxTokens: 16, ignoreEos: false };
