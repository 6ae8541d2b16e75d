import { hash } from 'node:crypto';
import type { BlockOwner, PrefixBlock } from '../memory/prefix-cache.ts';
import type { Priority, SamplingParams } from '../types.ts';

/** Tokens in one KV block; a block fills one page. As `BLOCK_TOKENS` in the kernels. */
export const BLOCK_TOKENS = 16;

const TOKEN_BYTES = 4;

/** Pages that hold the keys and values of this many tokens. */
export function blocksFor(tokens: number): number {
  return Math.ceil(tokens / BLOCK_TOKENS);
}

export interface SequenceInit {
  readonly id: string;
  readonly handle: number;
  readonly prompt: Uint32Array;
  readonly adapter: string | null;
  readonly sampling: SamplingParams;
  readonly maxTokens: number;
  /** Its last token's hidden state is wanted; nothing is generated. */
  readonly pooled?: boolean;
  readonly tenant: string;
  /** The tenant's share against others'. */
  readonly weight: number;
  readonly priority: Priority;
  /** Hash of whose blocks these are; null: they are not shared. */
  readonly prefixRoot: string | null;
  /** Whether all tenants may find its blocks. */
  readonly sharesWithAll?: boolean;
  /** Answers of requests with the same key are about as long; the first that enough is known of is believed. */
  readonly lengthKeys: readonly string[];
  /** In the scheduler's seconds. */
  readonly arrived: number;
  /** When it is of no use any more to begin; null: never. */
  readonly deadline: number | null;
}

/** A sequence's part of a step: compute `rows` tokens from `sequence.computed` on. */
export interface ScheduledSequence {
  readonly sequence: Sequence;
  readonly rows: number;
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
  readonly pooled: boolean;
  readonly tenant: string;
  readonly weight: number;
  readonly priority: Priority;
  readonly lengthKeys: readonly string[];
  readonly arrived: number;
  readonly deadline: number | null;
  readonly output: number[] = [];
  /** Pages of its KV blocks, in the order of its tokens. */
  blocks: number[] = [];
  /** The first of them that are shared with whoever begins with the same tokens, in order. */
  readonly shared: PrefixBlock[] = [];
  /** Tokens whose keys and values are in the blocks. */
  computed = 0;
  /** The most tokens that were ever computed or found: what its tenant has paid for. */
  paid = 0;
  /** Prompt tokens that were found in the prefix cache when it began; null before. */
  cached: number | null = null;
  /** In the scheduler's seconds, when it began; null before. */
  began: number | null = null;
  /** The priority under which it is in line to be read, as an index; -1: it is in no line. Belongs to the queue. */
  line = -1;
  /** How long its answer will probably be, as judged until it has so many tokens. */
  readonly expected = { length: 0, until: 0 };
  /** What it computes in a step that gives it its next token: made once, because every step asks for it. */
  readonly decode: ScheduledSequence = { sequence: this, rows: 1 };
  /** Prompt tokens scored so far, where prompt logprobs are asked for; survives a preemption. */
  scored = 1;
  /** Of its blocks that may be found again. */
  readonly blockOwner: BlockOwner;
  readonly #prefixRoot: string | null;
  readonly #blockKeys: string[] = [];

  constructor(init: SequenceInit) {
    this.id = init.id;
    this.handle = init.handle;
    this.prompt = init.prompt;
    this.adapter = init.adapter;
    this.sampling = init.sampling;
    this.maxTokens = init.maxTokens;
    this.pooled = init.pooled ?? false;
    this.tenant = init.tenant;
    this.weight = init.weight;
    this.priority = init.priority;
    this.lengthKeys = init.lengthKeys;
    this.arrived = init.arrived;
    this.deadline = init.deadline;
    this.blockOwner = { tenant: init.sharesWithAll ? null : init.tenant, adapter: init.adapter };
    this.#prefixRoot = init.prefixRoot;
  }

  /** The most tokens that are ever computed: its last one is not. */
  get mostComputed(): number {
    return this.prompt.length + this.maxTokens - 1;
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

  get sharesBlocks(): boolean {
    return this.#prefixRoot !== null;
  }

  /** Blocks that may be taken from the prefix cache: full ones, and not the last token, which must be computed. */
  get sharableBlocks(): number {
    if (!this.sharesBlocks || this.sampling.promptLogprobs !== null) return 0;
    return Math.floor((this.length - 1) / BLOCK_TOKENS);
  }

  /** Identity of a full block: a hash of its tokens after the identity of the one before, or the root. */
  readonly blockKey = (index: number): string => {
    for (let next = this.#blockKeys.length; next <= index; next++) {
      const before = next === 0 ? this.#prefixRoot! : this.#blockKeys[next - 1]!;
      const text = Buffer.allocUnsafe(before.length + BLOCK_TOKENS * TOKEN_BYTES);
      let at = text.write(before, 'latin1');
      for (let position = next * BLOCK_TOKENS; position < (next + 1) * BLOCK_TOKENS; position++) {
        at = text.writeUInt32LE(this.token(position), at);
      }
      this.#blockKeys.push(hash('sha256', text, 'binary'));
    }
    return this.#blockKeys[index]!;
  };
}
