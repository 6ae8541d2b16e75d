import type { AdapterTask, Principal } from '@polylora/adapters-store';
import type {
  EngineStats,
  FinishReason,
  MixturePart,
  PageMap,
  Prompt,
  RequestTiming,
  SamplingParams,
  SchedulingParams,
  TokenLogprobs,
  TokenText,
  ToolCallDelta,
  Usage,
} from '@polylora/engine';
import type { Cancellation } from '../cancellation.ts';
import type { ErrorCode } from '../errors.ts';

/** A name a client can put in `model`: the base model or one of its adapters. */
export interface BackendModel {
  readonly id: string;
  /** The base model's id for an adapter, null for the base model. */
  readonly parent: string | null;
  /** What the name stands for now: the base model's source, or the adapter's content digest. */
  readonly root: string;
  /** Unix time in seconds. */
  readonly created: number;
  /** Longest prompt plus completion, in tokens; null where only the server behind the backend knows. */
  readonly maxModelLen: number | null;
  /** Ids of tokens are below it. */
  readonly vocabSize: number;
  /** The adapters that are mixed, where several are or one has a weight; null else. */
  readonly mixture: readonly MixturePart[] | null;
  /** Identity of the weights (base and adapter), the same for equal answers to equal requests. */
  readonly fingerprint: string;
  /** What it was made for. */
  readonly task: AdapterTask;
}

/** An adapter in a mixture. */
export interface WeightedModel {
  readonly model: BackendModel;
  readonly weight: number;
}

/** For whom a request is and what it is filed under, as its client says it; null: it does not. Nothing of the answer depends on it. */
export interface Account {
  readonly user: string | null;
  readonly safetyIdentifier: string | null;
  readonly promptCacheKey: string | null;
}

/** Headers of W3C's Trace Context. */
export type TraceHeaders = Readonly<Record<string, string>>;

export interface BackendRequest {
  /** Unique among running requests. */
  readonly id: string;
  readonly prompt: Prompt;
  readonly sampling: SamplingParams;
  readonly scheduling: SchedulingParams;
  /** Report the prompt's text in the `start` event. */
  readonly echo: boolean;
  /** null or absent where the client says nothing of it. */
  readonly account?: Account | null;
  /** Of the trace that it belongs to, for another server; null or absent: none. */
  readonly traceHeaders?: TraceHeaders | null;
}

/** Texts of which vectors are wanted. */
export interface BackendEmbedding {
  /** Unique among running requests. */
  readonly id: string;
  readonly inputs: readonly Exclude<Prompt, { kind: 'chat' }>[];
  /** Tokens that are kept of a longer text, or the model's own limit; null: a text that is too long is refused. */
  readonly truncate: number | 'model' | null;
  readonly scheduling: SchedulingParams;
  /** As in an `Account`. */
  readonly user?: string | null;
  /** As in a `BackendRequest`. */
  readonly traceHeaders?: TraceHeaders | null;
}

/** What became of a text. */
export interface BackendVector {
  /** Of length 1. */
  readonly vector: Float32Array;
  readonly promptTokens: number;
}

/** What a backend answers, in text: routes never see a tokenizer. Ends after `finish` or `error`. */
export type BackendEvent =
  | {
      readonly type: 'start';
      /** null where they are known only at the end, by `finish`. */
      readonly promptTokens: number | null;
      readonly promptText: string | null;
    }
  | { readonly type: 'prompt'; readonly logprobs: readonly (TokenLogprobs | null)[] }
  | {
      readonly type: 'delta';
      readonly text: string;
      readonly tokens: number;
      readonly logprobs: readonly TokenLogprobs[] | null;
      /** Absent where there are none. */
      readonly toolCalls?: readonly ToolCallDelta[];
      /** With the first token, where the backend measures it. */
      readonly timing?: RequestTiming;
    }
  | {
      readonly type: 'finish';
      readonly reason: FinishReason;
      readonly stopReason: string | number | null;
      readonly usage: Usage;
      /** From its arrival to its first step. */
      readonly queuedSeconds: number;
      /** Where nothing is generated. */
      readonly timing?: RequestTiming;
    }
  | {
      readonly type: 'error';
      readonly code: ErrorCode;
      readonly message: string;
      /** Seconds after which the same request may succeed; null where that is not known. */
      readonly retryAfterSeconds: number | null;
      /** The field of the client's request that is at fault, where the backend knows. */
      readonly param?: string | null;
    };

/**
 * Told when another server may have begun with a request: until then nothing of it was read. Backends that make their answers here
 * tell of everything by events instead.
 * @param computed how many tokens of the answer that server has probably made by now, as long as no event tells of any
 */
export type OnSend = (computed: () => number) => void;

/** What a backend holds now; counters grow until it starts again. Adapters are given by name. */
export interface BackendStats extends EngineStats {
  /** How often it had started again when it told this. */
  readonly restartsTotal: number;
  /** How many adapters there are in all, with those that nobody has asked for by a name. */
  readonly adapterCounts: { readonly resident: number; readonly running: number };
}

/** What is in each page of the engine's pool, as its `PageMap`, and what its adapters are called. */
export interface BackendPool extends PageMap {
  /** A name of each adapter that has one, by its digest. */
  readonly names: ReadonlyMap<string, string>;
}

/** What computes: this server's engine, or another server. */
export interface Computer {
  readonly id: string;
  readonly kind: 'engine' | 'upstream';
  readonly ready: boolean;
  /** null until it is known. */
  readonly model: string | null;
  /** Of another server, without credentials. */
  readonly url: string | null;
  /** Of an engine: how often it died and was started again. */
  readonly restarts: number | null;
  /** Whether another server is asked: `open`, it is not, because it failed. null: it always is. */
  readonly circuit: 'closed' | 'open' | 'half_open' | null;
  /** Why it last was not ready, in words for its operator. */
  readonly lastError: string | null;
  /** Since when it is ready, or is not, in milliseconds since 1970. */
  readonly since: number | null;
}

/** Calls throw an ApiError. */
export interface BackendTokenizer {
  tokenize(prompt: Prompt): Promise<readonly number[]>;
  detokenize(ids: readonly number[]): Promise<string>;
  /** What each token is by itself. */
  describe(ids: readonly number[]): Promise<readonly TokenText[]>;
}

/** Something that generates text for the routes: the embedded engine, or another server. */
export interface Backend {
  /** False while it cannot take requests. */
  readonly ready: boolean;
  /** Who is waited for while it is not ready: this server's engine, or another server. */
  readonly computer: 'engine' | 'upstream';
  /** null until it is known. */
  readonly base: BackendModel | null;
  /** What somebody may use: the base model first, then its adapters in the order of their names. */
  models(principal: Principal): Promise<readonly BackendModel[]>;
  /**
   * Resolves a client's `model` once; the answer keeps meaning the same weights whatever the name stands for later.
   * Null for what is not there and for what the client may not use, which are not told apart.
   */
  find(name: string, principal: Principal): Promise<BackendModel | null>;
  /** Adapters added up with weights, as a model of its own. Each is what `find` gave. */
  mix(parts: readonly WeightedModel[]): BackendModel;
  /** Never throws for what happens to the request. Cancelling it or leaving the loop ends it. */
  generate(
    model: BackendModel,
    request: BackendRequest,
    cancellation: Cancellation,
    onSend?: OnSend,
  ): AsyncIterable<BackendEvent>;
  /**
   * All that `generate` would give, at once, for clients that want no stream: where an answer can be had whole for less than
   * its pieces. Cancelling it ends it at once, with no events. null where it is made here piece by piece anyway.
   */
  readonly answer:
    | ((
        model: BackendModel,
        request: BackendRequest,
        cancellation: Cancellation,
        onSend?: OnSend,
      ) => Promise<readonly BackendEvent[]>)
    | null;
  /** The base model's, which its adapters share; null where it is another server's. */
  readonly tokenizer: BackendTokenizer | null;
  /**
   * One vector for each text, in order: an embedding model's, or the last token's hidden state of a model that generates.
   * @throws ApiError; when one text fails, all do
   */
  embed(
    model: BackendModel,
    request: BackendEmbedding,
    cancellation: Cancellation,
    onSend?: () => void,
  ): Promise<readonly BackendVector[]>;
  /** null where the state is another server's to tell. */
  stats(): Promise<BackendStats | null>;
  /** null where the memory is another server's. @throws ApiError while it is not ready */
  pool(): Promise<BackendPool | null>;
  /**
   * Keeps an adapter, as `find` gave it, in memory until the server stops, or lets it leave again.
   * @throws ApiError adapter_does_not_fit, adapter_load_failed, adapters_elsewhere
   */
  pin(adapter: BackendModel, pinned: boolean): Promise<void>;
  /** All that answers come from. */
  readonly computers: readonly Computer[];
  close(): Promise<void>;
}
