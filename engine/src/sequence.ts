import type { SamplingParams } from './types.ts';

/** Tokens in one KV block; a block fills one page. As `BLOCK_TOKENS` in the kernels. */
export const BLOCK_TOKENS = 16;

/** Pages that hold the keys and values of this many tokens. */
export function blocksFor(tokens: number): number {
  return Math.ceil(tokens / BLOCK_TOKENS);
}

/** A request while the engine works on it: its tokens, its pages and how far they are computed. */
export class Sequence {
  readonly id: string;
  /** The addon's number for this sequence's sampler. */
  readonly handle: number;
  readonly prompt: Uint32Array;
  readonly adapter: string | null;
  readonly sampling: SamplingParams;
  /** The most tokens it may generate. */
  readonly maxTokens: number;
  readonly output: number[] = [];
  /** Pages of its KV blocks, in the order of its tokens. */
  blocks: number[] = [];
  /** Tokens whose keys and values are in the blocks. */
  computed = 0;
  /** Prompt tokens scored so far, where prompt logprobs are asked for; survives a preemption. */
  scored = 1;

  constructor(init: {
    id: string;
    handle: number;
    prompt: Uint32Array;
    adapter: string | null;
    sampling: SamplingParams;
    maxTokens: number;
  }) {
    this.id = init.id;
    this.handle = init.handle;
    this.prompt = init.prompt;
    this.adapter = init.adapter;
    this.sampling = init.sampling;
    this.maxTokens = init.maxTokens;
  }

  get length(): number {
    return this.prompt.length + this.output.length;
  }

  token(position: number): number {
    const prompt = this.prompt[position];
    return prompt ?? this.output[position - this.prompt.length]!;
  }

  /** Whether only its newest token is missing in the blocks. */
  get isDecoding(): boolean {
    return this.output.length > 0 && this.computed === this.length - 1;
  }
}
