import type { SamplingParams } from '@polylora/engine';

/** Greedy, of exactly the length asked for, and nothing else. */
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
  maxTokens: null,
  minTokens: 0,
  stop: [],
  stopTokenIds: [],
  includeStop: false,
  ignoreEos: true,
  logprobs: null,
  promptLogprobs: null,
  constraint: null,
};
