import type { SamplingParams } from '../../engine/src/types.ts';

/** Greedy, no penalties, no stops; runs to `maxTokens` and reports no logprobs. */
export const GREEDY: SamplingParams = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  logitBias: [],
  seed: 0,
  maxTokens: 16,
  minTokens: 0,
  stop: [],
  stopTokenIds: [],
  includeStop: false,
  ignoreEos: false,
  logprobs: null,
  promptLogprobs: null,
};
