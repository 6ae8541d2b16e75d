/** Every metric: its name, what it says, its labels and buckets. `docs/metrics.md` is generated from this. */

interface MetricDefinition {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  /** vLLM's name where vLLM has such a metric. */
  readonly name: string;
  readonly help: string;
  /** Label names; every label has few values, whatever clients send. */
  readonly labels: readonly string[];
  /** Of a histogram; absent where the engine counts, which then says what they are. */
  readonly buckets?: readonly number[];
  /** Whether buckets have the id of a trace that fell into them, as OpenMetrics' exemplars. */
  readonly exemplars?: boolean;
}

/** vLLM's buckets, so that its dashboards work. */
const FIRST_TOKEN_SECONDS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
  2560,
];
const TOKEN_SECONDS = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const REQUEST_SECONDS = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
];
const TOKENS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000,
];

/** From a tenth of a millisecond, which an equal question takes, to a tenth of a second, which nobody waits longer than. */
const LOOKUP_SECONDS = [
  0.0001, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02,
  0.03, 0.05, 0.075, 0.1,
];
/** A comparison is a matter of microseconds by the verifier, and of seconds by the base model. */
const VERIFICATION_SECONDS = [
  0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2,
];

/** Of series that there are many of. */
const FEW_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** From what a route of the gateway's takes by itself to what an answer may. */
const ROUTE_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

const MODEL = ['model_name'] as const;
const CATEGORY = ['category'] as const;

export const METRICS = {
  running: {
    kind: 'gauge',
    name: 'vllm:num_requests_running',
    help: 'Sequences in the batch.',
    labels: MODEL,
  },
  waiting: {
    kind: 'gauge',
    name: 'vllm:num_requests_waiting',
    help: 'Sequences waiting for their turn.',
    labels: MODEL,
  },
  kvCacheUsage: {
    kind: 'gauge',
    name: 'vllm:kv_cache_usage_perc',
    help: 'Share of the pages that KV blocks could have that they do have, from 0 to 1. Pages of adapters in use are none of those; idle ones make room, as kept prefixes do.',
    labels: MODEL,
  },
  cacheConfig: {
    kind: 'gauge',
    name: 'vllm:cache_config_info',
    help: 'Always 1; its labels say how many tokens a page of the pool holds and how many pages there are, which adapters share.',
    labels: ['block_size', 'num_gpu_blocks'],
  },
  loraRequests: {
    kind: 'gauge',
    name: 'vllm:lora_requests_info',
    help: 'Adapters with running and with waiting sequences, by name, comma-separated; the value is the time of the snapshot. `max_lora` is how many distinct adapters a batch may have.',
    labels: ['max_lora', 'running_lora_adapters', 'waiting_lora_adapters'],
  },
  promptTokens: {
    kind: 'counter',
    name: 'vllm:prompt_tokens_total',
    help: 'Prompt tokens of accepted sequences.',
    labels: MODEL,
  },
  generationTokens: {
    kind: 'counter',
    name: 'vllm:generation_tokens_total',
    help: 'Tokens generated.',
    labels: MODEL,
  },
  draftedTokens: {
    kind: 'counter',
    name: 'vllm:spec_decode_num_draft_tokens_total',
    help: 'Tokens that were guessed from what was read before and computed ahead.',
    labels: MODEL,
  },
  acceptedTokens: {
    kind: 'counter',
    name: 'vllm:spec_decode_num_accepted_tokens_total',
    help: 'Guessed tokens that were right.',
    labels: MODEL,
  },
  preemptions: {
    kind: 'counter',
    name: 'vllm:num_preemptions_total',
    help: 'Sequences set back for want of pages and computed again.',
    labels: MODEL,
  },
  finished: {
    kind: 'counter',
    name: 'vllm:request_success_total',
    help: 'Sequences that ended, by how: `stop`, `length`, `error`, or `abort` (not completed, and not by the server’s fault: the client left, its time limit passed, or what it asked for cannot be done).',
    labels: [...MODEL, 'finished_reason'],
  },
  firstToken: {
    kind: 'histogram',
    name: 'vllm:time_to_first_token_seconds',
    help: 'From a sequence’s arrival to its first token.',
    labels: MODEL,
    buckets: FIRST_TOKEN_SECONDS,
    exemplars: true,
  },
  firstTokenGivenUp: {
    kind: 'histogram',
    name: 'polylora_first_token_given_up_seconds',
    help: 'How long sequences that somebody waited for had waited when they ended without any token: the client left, its time limit passed, or they failed.',
    labels: MODEL,
    buckets: FIRST_TOKEN_SECONDS,
  },
  interToken: {
    kind: 'histogram',
    name: 'vllm:inter_token_latency_seconds',
    help: 'Between one token of a sequence and the next, as delivered.',
    labels: MODEL,
    buckets: TOKEN_SECONDS,
  },
  perOutputToken: {
    kind: 'histogram',
    name: 'vllm:request_time_per_output_token_seconds',
    help: 'Mean time per token after the first, for each finished sequence.',
    labels: MODEL,
    buckets: TOKEN_SECONDS,
  },
  endToEnd: {
    kind: 'histogram',
    name: 'vllm:e2e_request_latency_seconds',
    help: 'From a sequence’s arrival to its end, for each finished sequence.',
    labels: MODEL,
    buckets: REQUEST_SECONDS,
    exemplars: true,
  },
  promptLength: {
    kind: 'histogram',
    name: 'vllm:request_prompt_tokens',
    help: 'Prompt tokens of each finished sequence.',
    labels: MODEL,
    buckets: TOKENS,
  },
  generationLength: {
    kind: 'histogram',
    name: 'vllm:request_generation_tokens',
    help: 'Tokens generated for each finished sequence.',
    labels: MODEL,
    buckets: TOKENS,
  },
  pages: {
    kind: 'gauge',
    name: 'polylora_pool_pages',
    help: 'Pages of the pool by what they hold: `kv` (of running sequences), `prefix` (kept for prompts that begin the same), `adapter` (in use: by running sequences, pinned, or being read), `idle_adapter` (makes room when pages are needed) or `free`.',
    labels: ['kind'],
  },
  engineReady: {
    kind: 'gauge',
    name: 'polylora_engine_ready',
    help: '1 while the engine takes requests, 0 while it starts or does not answer.',
    labels: [],
  },
  engineStarting: {
    kind: 'gauge',
    name: 'polylora_engine_starting',
    help: '1 until the engine, or the upstream, takes requests for the first time since the server’s start, then 0.',
    labels: [],
  },
  engineRestarts: {
    kind: 'counter',
    name: 'polylora_engine_restarts_total',
    help: 'Times the engine’s process died and was started again.',
    labels: [],
  },
  prefixQueries: {
    kind: 'counter',
    name: 'vllm:prefix_cache_queries_total',
    help: 'Prompt tokens looked up in the prefix cache.',
    labels: MODEL,
  },
  prefixHits: {
    kind: 'counter',
    name: 'vllm:prefix_cache_hits_total',
    help: 'Prompt tokens found in the prefix cache and not computed again.',
    labels: MODEL,
  },
  queueTime: {
    kind: 'histogram',
    name: 'vllm:request_queue_time_seconds',
    help: 'From a sequence’s arrival to its first step, for each finished sequence.',
    labels: MODEL,
    buckets: REQUEST_SECONDS,
    exemplars: true,
  },
  prefillTime: {
    kind: 'histogram',
    name: 'vllm:request_prefill_time_seconds',
    help: 'From a sequence’s first step to its first token, for each finished sequence.',
    labels: MODEL,
    buckets: REQUEST_SECONDS,
  },
  decodeTime: {
    kind: 'histogram',
    name: 'vllm:request_decode_time_seconds',
    help: 'From a sequence’s first token to its last, for each finished sequence.',
    labels: MODEL,
    buckets: REQUEST_SECONDS,
  },
  inferenceTime: {
    kind: 'histogram',
    name: 'vllm:request_inference_time_seconds',
    help: 'From a sequence’s first step to its last token, for each finished sequence.',
    labels: MODEL,
    buckets: REQUEST_SECONDS,
  },
  steps: {
    kind: 'counter',
    name: 'polylora_steps_total',
    help: 'Steps of the engine: each computes one batch.',
    labels: [],
  },
  stepSeconds: {
    kind: 'counter',
    name: 'polylora_step_seconds_total',
    help: 'Time in steps by what took it: our operators by their kind, and `graph`, which is all else of ONNX Runtime’s graph.',
    labels: ['kernel'],
  },
  stepTokens: {
    kind: 'histogram',
    name: 'vllm:iteration_tokens_total',
    help: 'Tokens that a step computes, of prompts and of answers together.',
    labels: MODEL,
  },
  stepSequences: {
    kind: 'histogram',
    name: 'polylora_batch_sequences',
    help: 'Sequences in a step.',
    labels: [],
  },
  stepAdapters: {
    kind: 'histogram',
    name: 'polylora_batch_adapters',
    help: 'Distinct adapters in a step.',
    labels: [],
  },
  prefixEvictions: {
    kind: 'counter',
    name: 'polylora_prefix_evictions_total',
    help: 'Blocks that left the prefix cache because their pages were needed.',
    labels: [],
  },
  adapterEvictions: {
    kind: 'counter',
    name: 'polylora_adapter_evictions_total',
    help: 'Adapters that left the pool, by reason: `kv` (for a KV block), `adapter` (for another adapter), `removed`, or `failed` (it could not be read).',
    labels: ['reason'],
  },
  adapterResident: {
    kind: 'gauge',
    name: 'polylora_adapter_resident',
    help: '1 for each adapter whose weights are in the pool, at most a hundred of them: a status history of it is a heat map of residency.',
    labels: ['lora_name'],
  },
  tenantSequences: {
    kind: 'gauge',
    name: 'polylora_tenant_sequences',
    help: 'Sequences of a tenant that run or wait. The twenty tenants with the most; the others’ together as `other`.',
    labels: ['tenant'],
  },
  tenantWeight: {
    kind: 'gauge',
    name: 'polylora_tenant_weight',
    help: 'Weight of a tenant with work: its share against others’.',
    labels: ['tenant'],
  },
  tenantRequests: {
    kind: 'counter',
    name: 'polylora_tenant_requests_total',
    help: 'A tenant’s HTTP requests by how they ended: `ok`, `limited` (429), `refused` (another 4xx), `left` (499: the client did not wait) or `failed` (5xx). The fifty most active tenants, by their requests and tokens (500 are as much as a request); the others’ together as `other`, here and in all that follow.',
    labels: ['tenant', 'outcome'],
  },
  tenantLimited: {
    kind: 'counter',
    name: 'polylora_tenant_limited_total',
    help: 'A tenant’s requests that a limit or a budget was in the way of, by the error’s code; each begins at 0.',
    labels: ['tenant', 'code'],
  },
  tenantPromptTokens: {
    kind: 'counter',
    name: 'polylora_tenant_prompt_tokens_total',
    help: 'Prompt tokens of a tenant’s accepted sequences.',
    labels: ['tenant'],
  },
  tenantGenerationTokens: {
    kind: 'counter',
    name: 'polylora_tenant_generation_tokens_total',
    help: 'Tokens generated for a tenant.',
    labels: ['tenant'],
  },
  tenantService: {
    kind: 'counter',
    name: 'polylora_tenant_service_tokens_total',
    help: 'What a tenant’s share of the machine is charged for, in tokens, as they are computed: one for each that is read, two for each that is generated. Those found in the prefix cache cost nothing.',
    labels: ['tenant'],
  },
  tenantFirstToken: {
    kind: 'histogram',
    name: 'polylora_tenant_first_token_seconds',
    help: 'From the arrival of a tenant’s sequence to its first token.',
    labels: ['tenant'],
    buckets: FEW_SECONDS,
  },
  tenantSpend: {
    kind: 'counter',
    name: 'polylora_tenant_spend_total',
    help: 'What a tenant’s requests cost by the price list, in the currency’s unit.',
    labels: ['tenant'],
  },
  tenantBudgetUsed: {
    kind: 'gauge',
    name: 'polylora_tenant_budget_used_ratio',
    help: 'How much of a tenant’s budget is spent, from 0 to 1: of the one that is used the most, as of two seconds ago. The fifty tenants whose budgets are used the most, of those that have one and were let in within the last quarter of an hour.',
    labels: ['tenant'],
  },
  grammarsCached: {
    kind: 'gauge',
    name: 'polylora_grammars_cached',
    help: 'Compiled grammars (schemas, patterns, choices) kept for requests to come.',
    labels: [],
  },
  grammarBytes: {
    kind: 'gauge',
    name: 'polylora_grammar_cache_bytes',
    help: 'About how much memory they take.',
    labels: [],
  },
  grammarHits: {
    kind: 'counter',
    name: 'polylora_grammar_cache_hits_total',
    help: 'Sequences whose grammar was compiled already, or being compiled.',
    labels: [],
  },
  grammarCompileTime: {
    kind: 'histogram',
    name: 'polylora_grammar_compile_seconds',
    help: 'How long it took to compile a grammar, or to refuse it.',
    labels: [],
  },
  maskTime: {
    kind: 'histogram',
    name: 'polylora_grammar_mask_seconds',
    help: 'How long a mask took (which tokens a grammar allows next), beside the steps of the model: one for each token of a constrained sequence.',
    labels: [],
  },
  maskWait: {
    kind: 'counter',
    name: 'polylora_grammar_mask_wait_seconds_total',
    help: 'Time in which the choice of a token waited for its mask.',
    labels: [],
  },
  adapterLoads: {
    kind: 'counter',
    name: 'polylora_adapter_loads_total',
    help: 'Times an adapter’s weights were read into the pool.',
    labels: [],
  },
  adapterLoadTime: {
    kind: 'histogram',
    name: 'polylora_adapter_load_seconds',
    help: 'How long it took to read an adapter’s weights into the pool.',
    labels: [],
  },
  adapterLoadFailures: {
    kind: 'counter',
    name: 'polylora_adapter_load_failures_total',
    help: 'Times an adapter could not be loaded: its files are damaged, gone or away, or the engine cannot serve or read it.',
    labels: [],
  },
  adapterSequences: {
    kind: 'counter',
    name: 'polylora_adapter_sequences_total',
    help: 'Sequences that ended, by adapter (or the base model’s name; `mixture` where several are mixed). The fifty most active; the others’ together as `other`.',
    labels: ['lora_name'],
  },
  adapterTokens: {
    kind: 'counter',
    name: 'polylora_adapter_generation_tokens_total',
    help: 'Tokens generated by adapter, as with its sequences.',
    labels: ['lora_name'],
  },
  adapterFirstToken: {
    kind: 'histogram',
    name: 'polylora_adapter_first_token_seconds',
    help: 'From a sequence’s arrival to its first token by adapter, as with its sequences.',
    labels: ['lora_name'],
    buckets: FEW_SECONDS,
  },
  batchLines: {
    kind: 'counter',
    name: 'polylora_batch_lines_total',
    help: 'Lines of batches (`/v1/batches`) that were run, by how they ended: `completed` or `failed`.',
    labels: ['outcome'],
  },
  batchLinesWaiting: {
    kind: 'gauge',
    name: 'polylora_batch_lines_waiting',
    help: 'Lines of running batches that wait for their turn.',
    labels: [],
  },
  configReloads: {
    kind: 'counter',
    name: 'polylora_config_reloads_total',
    help: 'Times the configuration was read again after its file had changed, or at SIGHUP; `refused` ones were not valid and changed nothing.',
    labels: ['result'],
  },
  configReloadSuccessful: {
    kind: 'gauge',
    name: 'polylora_config_last_reload_successful',
    help: '0 after a configuration was read again and was not valid, as long as it stays so, else 1.',
    labels: [],
  },
  embeddingInputs: {
    kind: 'counter',
    name: 'polylora_embedding_inputs_total',
    help: 'Texts that vectors were made of (`/v1/embeddings`).',
    labels: [],
  },
  embeddingTokens: {
    kind: 'counter',
    name: 'polylora_embedding_tokens_total',
    help: 'Their tokens.',
    labels: [],
  },
  embeddingTime: {
    kind: 'histogram',
    name: 'polylora_embedding_request_seconds',
    help: 'From a request’s arrival at the model to the last of its vectors.',
    labels: [],
    buckets: FIRST_TOKEN_SECONDS,
  },
  encoderSeconds: {
    kind: 'counter',
    name: 'polylora_encoder_seconds_total',
    help: 'Time in the embedding model.',
    labels: [],
  },
  encoderBatches: {
    kind: 'counter',
    name: 'polylora_encoder_batches_total',
    help: 'Batches of the embedding model.',
    labels: [],
  },
  encoderWaiting: {
    kind: 'gauge',
    name: 'polylora_encoder_inputs_waiting',
    help: 'Texts that the embedding model was given and has no vector of yet.',
    labels: [],
  },
  cacheLookups: {
    kind: 'counter',
    name: 'polylora_cache_lookups_total',
    help: 'Requests by what the answer cache did: `hit_exact`, `hit_similar`, `hit_shared` (it waited for an answer that was being made for another), `miss`, or `bypass` (nothing was looked for). `category` is `-` where a request cannot be kept at all, or its category is not known.',
    labels: ['result', 'category'],
  },
  cacheLookupTime: {
    kind: 'histogram',
    name: 'polylora_cache_lookup_seconds',
    help: 'How long it took to look for an answer, with the embedding of its question; none of those that were shared. `category` as with the lookups.',
    labels: ['result', 'category'],
    buckets: LOOKUP_SECONDS,
  },
  cacheEmbeddingTime: {
    kind: 'histogram',
    name: 'polylora_cache_embedding_seconds',
    help: 'How long a lookup waited for the embedding of its question, which was `made`, or was `late` (or failed), and then nothing similar is looked for.',
    labels: ['outcome'],
    buckets: LOOKUP_SECONDS,
  },
  cacheVerificationTime: {
    kind: 'histogram',
    name: 'polylora_cache_verification_seconds',
    help: 'How long it took to tell whether a similar question asks for the `same` or something `different`, by the `verifier` or the base `model`.',
    labels: ['by', 'outcome'],
    buckets: VERIFICATION_SECONDS,
  },
  cacheRejections: {
    kind: 'counter',
    name: 'polylora_cache_rejected_total',
    help: 'Similar questions, near enough, of which verification said that they ask for something else.',
    labels: CATEGORY,
  },
  cacheEvictions: {
    kind: 'counter',
    name: 'polylora_cache_evictions_total',
    help: 'Entries that this server took out of the answer cache: by `quota` (its category was full), `expired`, `disabled` (its category is not cached any more), `replaced` (by a newer answer to the same request), `outdated` (the adapter or its version is not served any more), `purged` or `reported`.',
    labels: ['reason'],
  },
  cacheReports: {
    kind: 'counter',
    name: 'polylora_cache_reports_total',
    help: 'Answers of the cache that somebody reported as wrong.',
    labels: CATEGORY,
  },
  cacheSavedTokens: {
    kind: 'counter',
    name: 'polylora_cache_saved_tokens_total',
    help: 'Tokens that were not computed, as their answers came from the cache: `prompt` or `completion`.',
    labels: ['category', 'kind'],
  },
  cacheSavedSeconds: {
    kind: 'counter',
    name: 'polylora_cache_saved_compute_seconds_total',
    help: 'What those answers took when they were made, without their time in the queue.',
    labels: CATEGORY,
  },
  cacheBreakEven: {
    kind: 'gauge',
    name: 'polylora_cache_break_even_hit_rate',
    help: 'The share of requests that has to be answered from the cache for it to cost no more time than it saves; not there before an answer was made.',
    labels: CATEGORY,
  },
  cacheEntries: {
    kind: 'gauge',
    name: 'polylora_cache_entries',
    help: 'Entries of the answer cache.',
    labels: CATEGORY,
  },
  cacheBytes: {
    kind: 'gauge',
    name: 'polylora_cache_bytes',
    help: 'What they take in its store, about.',
    labels: CATEGORY,
  },
  cacheMostEntries: {
    kind: 'gauge',
    name: 'polylora_cache_max_entries',
    help: 'Most entries that a category may have, all tenants together.',
    labels: CATEGORY,
  },
  cacheMostBytes: {
    kind: 'gauge',
    name: 'polylora_cache_max_bytes',
    help: 'Most that they may take.',
    labels: CATEGORY,
  },
  cacheIndexEntries: {
    kind: 'gauge',
    name: 'polylora_cache_index_entries',
    help: 'Questions that similar ones are found by. Not there as long as only equal ones are.',
    labels: [],
  },
  cacheIndexBytes: {
    kind: 'gauge',
    name: 'polylora_cache_index_bytes',
    help: 'About how much memory their index takes.',
    labels: [],
  },
  cacheAnswers: {
    kind: 'gauge',
    name: 'polylora_cache_answers',
    help: 'Answers that are kept in memory, too.',
    labels: [],
  },
  cacheAnswerBytes: {
    kind: 'gauge',
    name: 'polylora_cache_answer_bytes',
    help: 'About how much memory they take.',
    labels: [],
  },
  cacheThreshold: {
    kind: 'gauge',
    name: 'polylora_cache_similarity_threshold',
    help: 'Least cosine between two questions of which one is answered as the other was, as it is now: with what checks and load have changed.',
    labels: CATEGORY,
  },
  cacheStrictness: {
    kind: 'gauge',
    name: 'polylora_cache_strictness',
    help: 'Least probability, by verification, that both ask for the same, as it is now.',
    labels: CATEGORY,
  },
  cacheTtl: {
    kind: 'gauge',
    name: 'polylora_cache_ttl_seconds',
    help: 'For how long an answer is given, as it is now.',
    labels: CATEGORY,
  },
  cacheRelaxation: {
    kind: 'gauge',
    name: 'polylora_cache_relaxation',
    help: 'How far the categories that allow it are gone towards their bounds because of load, from 0 to 1.',
    labels: [],
  },
  cacheWait: {
    kind: 'gauge',
    name: 'polylora_cache_wait_seconds',
    help: 'How long requests wait for the backend to begin, lately, as the cache sees it; `cacheTargetQueueMs` is the target.',
    labels: [],
  },
  cacheFalseHits: {
    kind: 'gauge',
    name: 'polylora_cache_false_hit_rate',
    help: 'Share of answers to similar questions that were wrong, by those that were checked lately, which are drawn by chance: the `estimate`, and the ends of its interval of 95 %, `low` and `high`. Not there before the first check.',
    labels: ['category', 'bound'],
  },
  cacheFalseHitTarget: {
    kind: 'gauge',
    name: 'polylora_cache_false_hit_target',
    help: 'Share of wrong answers to similar questions that a category may have, as it is configured (`targetFalseHitRate`).',
    labels: CATEGORY,
  },
  cacheChecks: {
    kind: 'gauge',
    name: 'polylora_cache_false_hit_checks',
    help: 'How many checks that estimate is of; older ones count less.',
    labels: CATEGORY,
  },
  cacheStoreUp: {
    kind: 'gauge',
    name: 'polylora_cache_store_up',
    help: '1 while the store of the answer cache answers, 0 while it is away and the cache goes on without it. Not there without a cache.',
    labels: [],
  },
  cacheFlights: {
    kind: 'gauge',
    name: 'polylora_cache_flights',
    help: 'Answers that are being made and that whoever asks the same meanwhile will share.',
    labels: [],
  },
  httpRequests: {
    kind: 'counter',
    name: 'polylora_http_requests_total',
    help: 'HTTP requests by the pattern of their route (`unmatched` where there is none), method and status.',
    labels: ['route', 'method', 'status'],
  },
  httpTime: {
    kind: 'histogram',
    name: 'polylora_http_request_seconds',
    help: 'From an HTTP request’s arrival to its answer’s head, by route: of an answer that is not streamed, the whole.',
    labels: ['route'],
    buckets: ROUTE_SECONDS,
  },
  errors: {
    kind: 'counter',
    name: 'polylora_errors_total',
    help: 'HTTP requests that were refused or failed, by the error’s code (docs/errors.md). What fails in the middle of a stream is counted too.',
    labels: ['code'],
  },
  diskFree: {
    kind: 'gauge',
    name: 'polylora_disk_free_bytes',
    help: 'What is free where the server keeps things: `models`, `store` (adapters and, with SQLite, the database) and `data` (files, batches, the cache).',
    labels: ['directory'],
  },
  diskSize: {
    kind: 'gauge',
    name: 'polylora_disk_size_bytes',
    help: 'How large the file system is that they are on.',
    labels: ['directory'],
  },
  buildInfo: {
    kind: 'gauge',
    name: 'polylora_build_info',
    help: '1; the labels say which version this is, on which Node, and who computes: `engine` or `upstream`.',
    labels: ['version', 'node', 'backend'],
  },
} as const satisfies Record<string, MetricDefinition>;

export type MetricKey = keyof typeof METRICS;
