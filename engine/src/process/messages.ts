/** What the engine process and its parent say to each other, over Node's IPC channel by structured clone. */
import type { EngineOptions } from '../config.ts';
import type {
  AdapterWeights,
  EngineErrorCode,
  EngineStats,
  GenerationEvent,
  GenerationRequest,
  ModelInfo,
  PageMap,
  Prompt,
  TokenText,
} from '../types.ts';

/** Calls that have one answer. */
export interface Calls {
  addAdapter: { args: AdapterWeights; result: undefined };
  removeAdapter: { args: string; result: undefined };
  pinAdapter: { args: { readonly digest: string; readonly pinned: boolean }; result: undefined };
  tokenize: { args: Prompt; result: number[] };
  detokenize: { args: readonly number[]; result: string };
  describeTokens: { args: readonly number[]; result: TokenText[] };
  stats: { args: null; result: EngineStats };
  pageMap: { args: null; result: PageMap };
}
export type CallName = keyof Calls;

export type ToEngine =
  | { readonly type: 'open'; readonly options: EngineOptions }
  | { readonly type: 'generate'; readonly request: GenerationRequest }
  | { readonly type: 'abort'; readonly id: string }
  | { readonly type: 'call'; readonly id: number; readonly name: CallName; readonly args: unknown }
  | { readonly type: 'close' };

export interface Failure {
  readonly code: EngineErrorCode;
  readonly message: string;
  readonly retryAfterSeconds: number | null;
}

export type FromEngine =
  | { readonly type: 'progress'; readonly line: string }
  | { readonly type: 'ready'; readonly model: ModelInfo }
  | { readonly type: 'failed'; readonly failure: Failure }
  | { readonly type: 'result'; readonly id: number; readonly value: unknown }
  | { readonly type: 'rejected'; readonly id: number; readonly failure: Failure }
  /** Everything since the last message, in order; a request's events end with null. */
  | {
      readonly type: 'events';
      readonly events: readonly (readonly [id: string, event: GenerationEvent | null])[];
    };
