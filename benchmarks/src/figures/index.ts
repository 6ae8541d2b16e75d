import { adapters16x16, adapters16x16PromptHeavy } from './adapters-16x16.ts';
import { adapters16VsLlama, adapters16VsLlamaBase, adapters16VsVllm } from './adapters16-vs-peers.ts';
import type { Figure } from './figure.ts';
import { greedyF32, parityF32, parityInt8 } from './parity.ts';
import { prefillVsLlama } from './prefill-vs-llama.ts';
import { secondStart } from './second-start.ts';
import { stream1VsLlama } from './stream1-vs-llama.ts';

/** Everything that the project promises as a number. */
export const FIGURES: readonly Figure[] = [
  adapters16VsLlama,
  adapters16VsLlamaBase,
  adapters16VsVllm,
  prefillVsLlama,
  stream1VsLlama,
  adapters16x16,
  adapters16x16PromptHeavy,
  secondStart,
  parityInt8,
  parityF32,
  greedyF32,
];
