/** What an embedder is asked and what it answers: plain data, which crosses a thread's boundary by structured clone. */

/** A text, or token ids of the embedding model, which are taken as they are: with the special tokens or without. */
export type EmbedInput = string | readonly number[];

export interface EmbedRequest {
  readonly inputs: readonly EmbedInput[];
  /**
   * Tokens that are kept of a longer text, special ones included, as sentence-transformers does; at most the model's own limit,
   * which `'model'` stands for. null: a text that is longer than the model's limit is refused.
   */
  readonly truncate: number | 'model' | null;
  /** Give each token's own state after the first layers, too: a kilobyte and a half for a token. */
  readonly tokenStates?: boolean;
  /** Give the signature, too. */
  readonly signature?: boolean;
  /** Nobody waits for it: others come first. */
  readonly background?: boolean;
}

export interface Embedding {
  /** Of length 1. */
  readonly vector: Float32Array;
  readonly tokenIds: Uint32Array;
  /** `[tokens, width]`, after the first layers: about the token itself more than about the text. null where it was not asked for. */
  readonly tokenStates: Float32Array | null;
  /**
   * What is kept of the text's tokens to compare it with others (`TokenComparison`). null where it was not asked for, there are no
   * tokens, or the embedder has no networks for its states.
   */
  readonly signature: Uint8Array | null;
}

export interface EncoderInfo {
  readonly name: string;
  /** Equal digests give equal vectors. */
  readonly digest: string;
  /** Numbers in a vector. */
  readonly width: number;
  /** Longest text in tokens, special ones included. */
  readonly maxTokens: number;
  readonly vocabSize: number;
}

/** Counters only grow. */
export interface EmbedderStats {
  /** Inputs that were taken and have no vector yet. */
  readonly waiting: number;
  readonly tokensTotal: number;
  readonly inputsTotal: number;
  readonly batchesTotal: number;
  /** Time in the graph. */
  readonly secondsTotal: number;
}

/** A model that turns texts into vectors. A text's vector depends on nothing but the text, bit for bit. */
export interface Embedder {
  /** null until it was loaded. */
  readonly model: EncoderInfo | null;
  /** Loads the model where it is not yet, fetching it where need be. @throws EngineError */
  load(): Promise<EncoderInfo>;
  /**
   * One embedding for each input, in order; loads the model where it is not yet.
   * @throws EngineError `context_length_exceeded`, `invalid_prompt`, `engine_overloaded` where too much waits, or what `load` does
   */
  embed(request: EmbedRequest, signal?: AbortSignal): Promise<readonly Embedding[]>;
  stats(): EmbedderStats;
  close(): Promise<void>;
}
