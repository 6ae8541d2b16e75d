/**
 * The engine's vocabulary: what it is asked, what it answers. Everything here is plain data, so that it
 * crosses a process boundary by structured clone unchanged.
 */

/** The projections of a decoder layer that an adapter can change, in the order the kernels use. */
export const LORA_MODULES = [
  'q_proj',
  'k_proj',
  'v_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'down_proj',
] as const;
export type LoraModule = (typeof LORA_MODULES)[number];

/**
 * A tensor in one of an adapter's safetensors files: row-major, a vector has one row. `begin` is the absolute byte offset in
 * file number `file`.
 */
export interface TensorLocation {
  readonly file: number;
  readonly dtype: 'F32' | 'F16' | 'BF16' | 'I32' | 'U8';
  readonly shape: readonly [rows: number, columns: number];
  readonly begin: number;
}

/**
 * One factor of a low-rank change. A is `[rank, in]`; B is `[out, rank]`.
 */
export interface LowRankFactor {
  /** The factor itself or, with `pieces`, rows to put it together from; it may be larger than needed (VeRA's shared matrices). */
  readonly tensor: TensorLocation;
  /**
   * I32 `[rank, pieces per rank]`: which rows of `tensor`, side by side, are a rank's row of A or column of B. Absent: the tensor
   * begins with the factor's rows and columns.
   */
  readonly pieces?: TensorLocation;
  /** A factor for each row of the matrix: A's are its ranks, B's its outputs (VeRA's λ). */
  readonly rowScales?: TensorLocation;
}

/** scale · B·A */
export interface LowRankChange {
  readonly rank: number;
  readonly scale: number;
  readonly a: LowRankFactor;
  readonly b: LowRankFactor;
}

/** A sparse matrix: a byte for every four inputs, two of which it has (`engine/native/kernels/src/sparse`). */
export interface SparseChange {
  /** U8 `[out, in / 4]` */
  readonly codes: TensorLocation;
  /** F32 `[1, out]`: what an output's codes are multiplied by. */
  readonly scales: TensorLocation;
}

/** What is done with z = W·x + b + changes. */
export type OutputChange =
  /** y = factors ⊙ z */
  | { readonly kind: 'scale'; readonly factors: TensorLocation }
  /** DoRA: y = magnitudes ÷ ‖rows of W + changes‖ ⊙ (z − b) + b */
  | { readonly kind: 'magnitude'; readonly magnitudes: TensorLocation }
  /**
   * RoAd: outputs rotated and scaled in pairs, the first half of each group with its second; `variant` says how many of them
   * share an angle, as in PEFT's `road_1`, `road_2` and `road_4`.
   */
  | {
      readonly kind: 'rotation';
      readonly variant: 1 | 2 | 4;
      readonly groupSize: number;
      readonly angles: TensorLocation;
      readonly scales: TensorLocation;
    };

/** What an adapter does to one projection: y = output(W·(input ⊙ x) + b + low-rank + sparse). */
export interface AdaptedModule {
  readonly layer: number;
  readonly module: LoraModule;
  /** A factor for each input, before everything else. */
  readonly input?: TensorLocation;
  /** All of them are added. */
  readonly lowRank: readonly LowRankChange[];
  readonly sparse?: SparseChange;
  readonly output?: OutputChange;
}

/** A file as it was when it was validated: size and time tell whether it was written to since. */
export interface AdapterFile {
  /** Absolute. */
  readonly path: string;
  readonly bytes: number;
  /** When it had last been written, in milliseconds since 1970 (`stat`'s `mtimeMs`). */
  readonly modifiedMs: number;
}

/** A validated adapter that the engine can load. The digest identifies its content, never its name. */
export interface AdapterWeights {
  readonly digest: string;
  readonly files: readonly AdapterFile[];
  /** In the order of layers and `LORA_MODULES`. */
  readonly modules: readonly AdaptedModule[];
}

/** What the engine serves: the shape that adapters must fit and the limits that requests must keep. */
export interface ModelInfo {
  readonly name: string;
  /** Of what is computed: the files' content and how it is packed. */
  readonly digest: string;
  /** Of the files' content alone: what an adapter was made for. */
  readonly sourceDigest: string;
  readonly architecture: 'llama' | 'mistral' | 'qwen2' | 'qwen3';
  readonly weights: 'int8' | 'f32';
  readonly layerCount: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly headCount: number;
  readonly kvHeadCount: number;
  readonly headDim: number;
  readonly vocabSize: number;
  /** Longest prompt plus completion, in tokens. */
  readonly maxModelLen: number;
}

/** Input and output width of a projection, for checking an adapter's shapes. */
export function projectionShape(model: ModelInfo, module: LoraModule): { in: number; out: number } {
  const { hiddenSize, intermediateSize, headCount, kvHeadCount, headDim } = model;
  switch (module) {
    case 'q_proj':
      return { in: hiddenSize, out: headCount * headDim };
    case 'k_proj':
    case 'v_proj':
      return { in: hiddenSize, out: kvHeadCount * headDim };
    case 'o_proj':
      return { in: headCount * headDim, out: hiddenSize };
    case 'gate_proj':
    case 'up_proj':
      return { in: hiddenSize, out: intermediateSize };
    case 'down_proj':
      return { in: intermediateSize, out: hiddenSize };
  }
}

export interface ChatMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  readonly name?: string;
  /** What the assistant called. */
  readonly toolCalls?: readonly ToolCall[];
  /** Which call a tool's message answers. */
  readonly toolCallId?: string;
}

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text. */
  readonly arguments: string;
}

/** A function that the model may call. */
export interface Tool {
  readonly name: string;
  readonly description: string | null;
  /** A JSON schema of its arguments; null: it has none. */
  readonly parameters: Readonly<Record<string, unknown>> | null;
  /** Its calls keep to the schema, also where the model is free to call it or not. */
  readonly strict: boolean;
}

/** Whether the model calls tools: if it wants to, in any case, or this one. */
export type ToolChoice = 'auto' | 'required' | { readonly name: string };

/** Tools of a chat. Their calls are read out of the answer's text. */
export interface ToolUse {
  readonly tools: readonly Tool[];
  readonly choice: ToolChoice;
  /** Several calls in one answer. */
  readonly parallel: boolean;
}

/** A piece of a call that the model makes. */
export interface ToolCallDelta {
  /** Which of the answer's calls. */
  readonly index: number;
  /** With the first piece of each call; null after. */
  readonly id: string | null;
  readonly name: string | null;
  /** What is new of the arguments' JSON text. */
  readonly arguments: string;
}

export type Prompt =
  | { readonly kind: 'chat'; readonly messages: readonly ChatMessage[]; readonly tools?: ToolUse | null }
  | {
      readonly kind: 'text';
      readonly text: string;
      /** false: without what the tokenizer puts around every text, such as a token for its beginning. */
      readonly specialTokens?: boolean;
    }
  | { readonly kind: 'tokens'; readonly ids: readonly number[] };

/**
 * What the whole answer must be. It then ends by itself once it is complete. `field` is what the client calls it, for messages.
 */
export type Constraint = { readonly field: string } & (
  | {
      readonly kind: 'json_schema';
      /** JSON text. */
      readonly schema: string;
      /** Passes over what of the schema cannot be enforced, which is an error otherwise. */
      readonly lenient: boolean;
    }
  /** Any JSON object. */
  | { readonly kind: 'json_object' }
  /** The whole answer matches the pattern, in the syntax of Rust's `regex`. */
  | { readonly kind: 'regex'; readonly pattern: string }
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  /** In llguidance's dialect of Lark, or in GBNF. */
  | { readonly kind: 'grammar'; readonly grammar: string }
);

/** How tokens are chosen and when to stop. The gateway fills every field; the engine has no defaults. */
export interface SamplingParams {
  /** 0 is greedy. */
  readonly temperature: number;
  /** (0, 1] */
  readonly topP: number;
  /** 0 means no limit. */
  readonly topK: number;
  /** [0, 1] */
  readonly minP: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  /** 1 means none. */
  readonly repetitionPenalty: number;
  readonly logitBias: readonly (readonly [token: number, bias: number])[];
  /** Unsigned 53-bit integer. The same request with the same seed gives the same tokens, whatever the batch. */
  readonly seed: number;
  /** null: up to the model's context length. */
  readonly maxTokens: number | null;
  readonly minTokens: number;
  readonly stop: readonly string[];
  readonly stopTokenIds: readonly number[];
  /** Leave the matched stop string or stop token in the text (off by default everywhere). */
  readonly includeStop: boolean;
  readonly ignoreEos: boolean;
  /** How many alternatives to report beside the chosen token; null: no logprobs at all. */
  readonly logprobs: number | null;
  /** Also report the logprob of each prompt token given those before it, with this many alternatives. */
  readonly promptLogprobs: number | null;
  /** null: any text. */
  readonly constraint: Constraint | null;
}

/** Of a request whose hidden state is wanted and nothing else. */
export const POOLED_SAMPLING: SamplingParams = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  logitBias: [],
  seed: 0,
  maxTokens: 0,
  minTokens: 0,
  stop: [],
  stopTokenIds: [],
  includeStop: false,
  ignoreEos: false,
  logprobs: null,
  promptLogprobs: null,
  constraint: null,
};

/** Which requests come first, whatever their tenants' shares: urgent ones, usual ones, and work that nobody waits for. */
export const PRIORITIES = ['high', 'normal', 'batch'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** Whose request it is, and how it stands to others. */
export interface SchedulingParams {
  /** Tenants share the machine by their weights, and find only their own prefixes in the cache. */
  readonly tenant: string;
  /** The tenant's share against others'; above 0. */
  readonly weight: number;
  readonly priority: Priority;
  /** Prefixes are found only by requests with the same salt; null: none. */
  readonly cacheSalt: string | null;
  /** What sort of request it is, in the client's words: answers of one category are about as long; null: not told. */
  readonly category: string | null;
  /** Seconds within which it must begin to be answered, else it is refused; null: it waits as long as it takes. */
  readonly timeoutSeconds: number | null;
}

export interface GenerationRequest {
  /** Unique among running requests. */
  readonly id: string;
  readonly prompt: Prompt;
  /** Digest of an adapter added before, or null for the base model. */
  readonly adapter: string | null;
  readonly sampling: SamplingParams;
  readonly scheduling: SchedulingParams;
  /** Give the last token's hidden state as a `pooled` event, and generate nothing. */
  readonly pooled?: boolean;
}

export interface TokenText {
  /** The token's own text; lone bytes of a character appear as U+FFFD here, exact in `bytes`. */
  readonly text: string;
  readonly bytes: readonly number[];
}

/** A token and its natural-log probability under the model, before penalties and temperature. */
export interface TokenLogprob extends TokenText {
  readonly id: number;
  readonly logprob: number;
}

export interface TokenLogprobs extends TokenLogprob {
  readonly top: readonly TokenLogprob[];
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Prompt tokens whose keys and values were found in the prefix cache. */
  readonly cachedPromptTokens: number;
}

/**
 * How long the beginning of a request took, in seconds. Durations by the clock of the process that ran it: another's tells nothing of them.
 */
export interface RequestTiming {
  /** From its arrival to its first step. */
  readonly queuedSeconds: number;
  /** When in that time its adapter was read, from its arrival, and for how long it waited for that; null: it was there, or none is asked for. */
  readonly adapterLoad: { readonly afterSeconds: number; readonly seconds: number } | null;
  /** From its first step to its first token, or to its end where it has none. */
  readonly prefillSeconds: number;
}

/** `tool_calls`: it ended by itself, and called tools. */
export type FinishReason = 'stop' | 'length' | 'abort' | 'tool_calls';

export type GenerationEvent =
  /** The request was accepted: its prompt is tokenized and fits. */
  | { readonly type: 'start'; readonly promptTokenIds: readonly number[] }
  /** Present where promptLogprobs were asked for; the first prompt token has none (null). */
  | { readonly type: 'prompt'; readonly logprobs: readonly (TokenLogprobs | null)[] }
  /** The last prompt token's state after the last norm, of length 1, where that was asked for. */
  | { readonly type: 'pooled'; readonly vector: Float32Array }
  /**
   * One or more new tokens. `text` may be empty while a character is incomplete or a stop string may yet
   * match; all texts together are the whole completion.
   */
  | {
      readonly type: 'delta';
      readonly text: string;
      readonly tokenIds: readonly number[];
      readonly logprobs: readonly TokenLogprobs[] | null;
      /** Absent where there are none. */
      readonly toolCalls?: readonly ToolCallDelta[];
      /** With the first token. */
      readonly timing?: RequestTiming;
    }
  | {
      readonly type: 'finish';
      readonly reason: FinishReason;
      /** The stop string or stop token id that ended it, null for the end-of-sequence token or length. */
      readonly stopReason: string | number | null;
      readonly usage: Usage;
      /** From its arrival to its first step. */
      readonly queuedSeconds: number;
      /** Where it generates nothing, so that no first token can tell. */
      readonly timing?: RequestTiming;
    }
  /** Ends the request in place of `finish`. */
  | {
      readonly type: 'error';
      readonly code: EngineErrorCode;
      readonly message: string;
      /** Seconds after which the same request may succeed; null where that is not known. */
      readonly retryAfterSeconds: number | null;
    };

/** Stable codes; docs/errors.md lists them with their HTTP status. */
export type EngineErrorCode =
  | 'context_length_exceeded'
  | 'invalid_prompt'
  | 'invalid_chat_template'
  | 'adapter_not_loaded'
  | 'adapter_load_failed'
  | 'adapter_does_not_fit'
  | 'adapters_not_mixable'
  | 'invalid_schema'
  | 'invalid_grammar'
  | 'constraint_failed'
  | 'numerical_error'
  | 'engine_unavailable'
  | 'engine_overloaded'
  | 'deadline_exceeded'
  | 'model_not_supported'
  | 'model_not_found'
  | 'model_corrupt'
  | 'internal_error';

export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: EngineErrorCode;
  /** Seconds after which the same may succeed; null where that is not known. */
  readonly retryAfterSeconds: number | null;
  constructor(
    code: EngineErrorCode,
    message: string,
    options?: ErrorOptions & { readonly retryAfterSeconds?: number | null },
  ) {
    super(message, options);
    this.code = code;
    this.retryAfterSeconds = options?.retryAfterSeconds ?? null;
  }
}

/** The event that ends a request with what was thrown. */
export function errorEvent(error: unknown): Extract<GenerationEvent, { type: 'error' }> {
  if (error instanceof EngineError) {
    const { code, message, retryAfterSeconds } = error;
    return { type: 'error', code, message, retryAfterSeconds };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { type: 'error', code: 'internal_error', message, retryAfterSeconds: null };
}

/** Times of something, counted since the start: as in Prometheus, a bucket counts all that took no longer. */
export interface Times {
  readonly count: number;
  readonly seconds: number;
  readonly buckets: readonly { readonly seconds: number; readonly count: number }[];
}

/** Values of something, counted since the start as `Times` are. */
export interface Distribution {
  readonly count: number;
  readonly sum: number;
  readonly buckets: readonly { readonly le: number; readonly count: number }[];
}

/**
 * What a step's time goes to: linear layers with their adapters, norms and activations, the attention, the layer that makes logits,
 * choosing tokens, and the rest, which is ONNX Runtime's and the step's own.
 */
export const STEP_KERNELS = ['projections', 'attention', 'head', 'sampling', 'graph'] as const;
export type StepKernel = (typeof STEP_KERNELS)[number];

/** A snapshot of what the engine holds and has done since it started; counters only grow. */
export interface EngineStats {
  readonly running: number;
  readonly waiting: number;
  /** Tokens whose keys and values fit into a page. */
  readonly pageTokens: number;
  readonly pagesTotal: number;
  /** Pages of sequences. */
  readonly pagesKv: number;
  /** Pages of prefix blocks that no sequence uses now. */
  readonly pagesPrefix: number;
  readonly pagesAdapter: number;
  /** Of those, pages of adapters that no KV block can take the place of now: in use, pinned, or being read. */
  readonly pagesAdapterInUse: number;
  /** Digests of adapters whose weights are in the pool now. */
  readonly residentAdapters: readonly string[];
  readonly runningAdapters: readonly string[];
  readonly waitingAdapters: readonly string[];
  readonly stepsTotal: number;
  /** Time in the graph. */
  readonly stepSecondsTotal: number;
  /** Of that, time in our operators. */
  readonly operatorSecondsTotal: number;
  /** All of it, by what it went to; see `STEP_KERNELS`. */
  readonly stepSecondsByKernel: Readonly<Record<StepKernel, number>>;
  /** Of each step: tokens computed, drafted ones included. */
  readonly stepTokens: Distribution;
  readonly stepSequences: Distribution;
  /** Different adapters, the base model not counted. */
  readonly stepAdapters: Distribution;
  readonly promptTokensTotal: number;
  readonly generationTokensTotal: number;
  /** Tokens that were guessed and computed ahead, and those of them that were right. */
  readonly draftedTokensTotal: number;
  readonly acceptedTokensTotal: number;
  readonly preemptionsTotal: number;
  readonly adapterLoadsTotal: number;
  /** How long those took. */
  readonly adapterLoads: Times;
  /** Times that an adapter it knew could not be read into the pool. */
  readonly adapterLoadFailuresTotal: number;
  /** Adapters that left the pool, by reason. */
  readonly adapterEvictionsTotal: Readonly<Record<AdapterEvictionReason, number>>;
  readonly prefixEvictionsTotal: number;
  /** Prompt tokens that were looked up in the prefix cache, and those of them that were found. */
  readonly prefixQueriesTotal: number;
  readonly prefixHitsTotal: number;
  /** Compiled grammars that are kept. */
  readonly grammarsCached: number;
  readonly grammarBytes: number;
  readonly grammarHitsTotal: number;
  readonly grammarCompilations: Times;
  /** Of the tokens that may come next, for each token of a constrained answer. */
  readonly masks: Times;
  /** How long choosing tokens waited for masks. */
  readonly maskWaitSecondsTotal: number;
  /** Tenants with requests that run or wait. */
  readonly tenants: readonly TenantShare[];
  readonly service: ServiceTotals;
  /** Threads that it computes with. */
  readonly threads: number;
  /** The instruction set that it computes with. */
  readonly simd: string;
}

/** Who has a page. Adapters are told by their digests. */
export type PageOwner =
  | { readonly kind: 'free' }
  /** A request that runs. */
  | {
      readonly kind: 'kv';
      readonly request: string;
      readonly tenant: string;
      /** null: the base model. */
      readonly adapter: string | null;
      /** Requests that use it together; the one that is named began first. */
      readonly users: number;
    }
  /** The prefix cache, of what nobody uses now. */
  | {
      readonly kind: 'prefix';
      /** Who may find it; null: all tenants. */
      readonly tenant: string | null;
      readonly adapter: string | null;
    }
  | {
      readonly kind: 'adapter';
      readonly digest: string;
      readonly pinned: boolean;
      /** Requests that use it now. */
      readonly users: number;
    };

/** What is in each page of the pool. */
export interface PageMap {
  readonly pageBytes: number;
  readonly pagesTotal: number;
  readonly owners: readonly PageOwner[];
  /** Of the pages in order: an index of `owners`, and how many pages in a row it has; then the next two. */
  readonly runs: Uint32Array;
}

/** Why an adapter left the pool: for a KV block, for another adapter, because it was removed, or it could not be read. */
export const ADAPTER_EVICTION_REASONS = ['kv', 'adapter', 'removed', 'failed'] as const;
export type AdapterEvictionReason = (typeof ADAPTER_EVICTION_REASONS)[number];

/** A tenant's part of the machine. */
export interface TenantShare {
  readonly tenant: string;
  readonly weight: number;
  /** Service received ÷ weight: tenants that always have work stay close together. */
  readonly counter: number;
  /** Requests that have not ended. */
  readonly live: number;
  /** Those of them that run. */
  readonly running: number;
}

/**
 * What tenants were charged for since the start, in tokens: one for each that was read and two for each that was generated, as they are
 * computed. What was found in the prefix cache costs nothing, nor does what is computed again after a preemption.
 */
export interface ServiceTotals {
  /** All of it. */
  readonly total: number;
  /** Of each tenant, but for those that were away for long while many others came: theirs is in `total` alone, and they begin at 0 again. */
  readonly byTenant: ReadonlyMap<string, number>;
}

/** One model on one machine. Knows nothing of HTTP, tenants or adapter names. */
export interface Engine {
  readonly model: ModelInfo;
  /** False while the engine is starting again after a crash. */
  readonly ready: boolean;
  /** Makes an adapter known; its weights are read when first needed. Adding a digest again only changes where it is read from. */
  addAdapter(adapter: AdapterWeights): Promise<void>;
  /** Forgets an adapter; requests that already use it run to their end. */
  removeAdapter(digest: string): Promise<void>;
  /**
   * Keeps an adapter in the pool from now on (reads it at once if need be), or lets it leave when pages are needed.
   * @throws EngineError `adapter_not_loaded`, or `adapter_does_not_fit` where too little would be left for requests
   */
  pinAdapter(digest: string, pinned: boolean): Promise<void>;
  /**
   * Runs a request. Ends after a `finish` or `error` event; never throws for what happens to the request.
   * Aborting the signal (or leaving the loop) frees the request's pages within one step.
   */
  generate(request: GenerationRequest, signal?: AbortSignal): AsyncIterable<GenerationEvent>;
  /** @throws EngineError where the prompt cannot be used, or is longer than any that can */
  tokenize(prompt: Prompt): Promise<number[]>;
  detokenize(ids: readonly number[]): Promise<string>;
  /** What each token is by itself. */
  describeTokens(ids: readonly number[]): Promise<TokenText[]>;
  stats(): Promise<EngineStats>;
  /** What is in each page now. */
  pageMap(): Promise<PageMap>;
  /** Ends running requests with `engine_unavailable` and releases everything. */
  close(): Promise<void>;
}
