import type { FinishReason, ToolCall, Usage } from '@polylora/engine';

/** One of an answer's choices, whole. */
export interface StoredChoice {
  readonly text: string;
  readonly toolCalls: readonly ToolCall[];
  readonly reason: FinishReason;
  readonly stopReason: string | number | null;
  readonly usage: Usage;
}

/** An answer as it is kept. */
export interface StoredAnswer {
  readonly choices: readonly StoredChoice[];
}

/** What is known of an entry without reading its document: all that a search has to look at. */
export interface EntryHead {
  /** Random, so that nobody can guess another's. */
  readonly id: string;
  /** What computed it: servers of another name have nothing to do with it. */
  readonly server: string;
  /** Of all that must match exactly; entries of different partitions never meet. */
  readonly partition: string;
  /** Of the whole request. */
  readonly exactKey: string;
  readonly tenant: string;
  /** The model's name as it was asked for, and what it stood for: the base's source, or the adapter's content digest. */
  readonly model: string;
  readonly root: string;
  readonly category: string;
  readonly tags: readonly string[];
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly expiresAt: number;
  /** Of the document. */
  readonly bytes: number;
  /** Of the generation, without its time in the queue. */
  readonly computeSeconds: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** The digest of the embedding model that made the question's vector; null where there is none. */
  readonly encoder: string | null;
}

/** All of an entry, as the document store keeps it. */
export interface CacheDocument extends EntryHead {
  /** The last user message; null where there is none that another could be similar to. */
  readonly question: string | null;
  /** The question's embedding, of length 1; null where it is only found by its exact key. */
  readonly vector: Float32Array | null;
  /** What verification needs of the question; null with the vector. */
  readonly signature: Uint8Array | null;
  readonly answer: StoredAnswer;
}
