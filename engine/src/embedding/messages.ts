/** What the embedding worker and its owner say to each other. */
import type { Failure } from '../process/messages.ts';
import type { ModelInfo } from '../types.ts';
import type { Embedding, EmbedRequest, EncoderInfo } from './types.ts';

export interface EmbedderOptions {
  /** A directory, a hub id, or the default embedding model's name. */
  readonly model: string;
  /** Cache directory for fetched and prepared models. */
  readonly home: string;
  readonly hubToken: string | null;
  readonly weights: ModelInfo['weights'];
  readonly threads: number;
  /** File of the networks that compare texts by their tokens, for signatures; null: there are none. */
  readonly comparison: string | null;
}

export type ToWorker =
  | { readonly type: 'embed'; readonly id: number; readonly request: EmbedRequest }
  | { readonly type: 'cancel'; readonly id: number }
  | { readonly type: 'close' };

export type FromWorker =
  | { readonly type: 'progress'; readonly line: string }
  | { readonly type: 'ready'; readonly info: EncoderInfo }
  | { readonly type: 'failed'; readonly failure: Failure }
  | { readonly type: 'batch'; readonly inputs: number; readonly tokens: number; readonly seconds: number }
  | { readonly type: 'embedded'; readonly id: number; readonly embeddings: readonly Embedding[] }
  | { readonly type: 'rejected'; readonly id: number; readonly failure: Failure };
