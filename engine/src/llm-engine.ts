import { GrammarCompiler, type Tokenizer } from '@polylora/engine-native';
import { assertUnchanged } from './adapter-file.ts';
import type { EngineOptions } from './config.ts';
import { Counted } from './distribution.ts';
import { EventQueue } from './event-queue.ts';
import { GrammarCache, type GrammarLease } from './grammar/grammar-cache.ts';
import type { AdapterLayout } from './memory/adapter-layout.ts';
import type { AdapterLoad } from './memory/adapter-residency.ts';
import { ExpectedSaving } from './memory/eviction.ts';
import { prefixRoot } from './memory/prefix-root.ts';
import type { PreparedModel } from './model/prepare.ts';
import type { ModelRunner, NextToken, SequenceOutput, StepOutput } from './model-runner.ts';
import { normalized } from './normalized.ts';
import { OutputProcessor, TokenTexts } from './output-processor.ts';
import { pageMap } from './page-map.ts';
import { CostModel } from './scheduling/cost-model.ts';
import { type Schedule, Scheduler } from './scheduling/scheduler.ts';
import { BLOCK_TOKENS, blocksFor, type ScheduledSequence, Sequence } from './scheduling/sequence.ts';
import { PromptEncoder } from './text/prompt-encoder.ts';
import { ModelTools } from './tools/model-tools.ts';
import {
  ADAPTER_EVICTION_REASONS,
  type AdapterEvictionReason,
  type AdapterWeights,
  type Engine,
  EngineError,
  type EngineStats,
  errorEvent,
  type GenerationEvent,
  type GenerationRequest,
  type ModelInfo,
  type PageMap,
  type Prompt,
  type RequestTiming,
  type TokenText,
} from './types.ts';

/** Upper ends of the buckets in which steps are counted: of tokens vLLM's, and 2 and 4, which most steps of a processor have. */
const STEP_TOKENS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384];
const STEP_SEQUENCES = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const STEP_ADAPTERS = [0, 1, 2, 4, 8, 16, 32, 64, 128];
/** And of the seconds that reading an adapter takes. */
const LOAD_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Request {
  readonly sequence: Sequence;
  readonly output: OutputProcessor;
  readonly events: EventQueue<GenerationEvent>;
  readonly grammar: GrammarLease | null;
  /** When it waited for its adapter to be read, in the loop's seconds; null: it did not. */
  adapterLoad: { readonly from: number; readonly until: number } | null;
  /** Its last event is out; its pages and sampler may still be in use by a run. */
  ended: boolean;
  /** It ended by itself: its length says something about others'. */
  complete: boolean;
}

interface KnownAdapter {
  readonly weights: AdapterWeights;
  readonly layout: AdapterLayout;
}

/** The serving loop: schedule, run, hand out what came of it. */
export class LlmEngine implements Engine {
  readonly model: ModelInfo;
  readonly #runner: ModelRunner;
  readonly #tokenizer: Tokenizer;
  readonly #encoder: PromptEncoder;
  readonly #texts: TokenTexts;
  readonly #grammars: GrammarCache;
  readonly #tools: ModelTools;
  readonly #eosTokenIds: ReadonlySet<number>;
  readonly #prefixCache: EngineOptions['prefixCache'];
  readonly #scheduler: Scheduler;
  readonly #adapters = new Map<string, KnownAdapter>();
  /** Removed adapters that running requests still use. */
  readonly #leaving = new Set<string>();
  readonly #requests = new Map<string, Request>();
  /** Sequences to take out before the next run; their pages may be in use until then. */
  readonly #cancelled = new Set<Sequence>();
  /** Requests that ended during the run at hand. */
  readonly #ended: Request[] = [];
  readonly #loop: Promise<void>;
  #wake: (() => void) | null = null;
  /** Whether a batch is being run. */
  #running = false;
  #closed = false;
  #nextHandle = 0;
  #loading = 0;
  readonly #totals = {
    steps: 0,
    stepSeconds: 0,
    operators: { projections: 0, attention: 0, head: 0, sampling: 0 },
    stepTokens: new Counted(STEP_TOKENS),
    stepSequences: new Counted(STEP_SEQUENCES),
    stepAdapters: new Counted(STEP_ADAPTERS),
    promptTokens: 0,
    generationTokens: 0,
    draftedTokens: 0,
    acceptedTokens: 0,
    adapterLoads: new Counted(LOAD_SECONDS),
    adapterLoadFailures: 0,
    adapterEvictions: Object.fromEntries(ADAPTER_EVICTION_REASONS.map((reason) => [reason, 0])) as Record<
      AdapterEvictionReason,
      number
    >,
  };

  constructor(
    prepared: PreparedModel,
    runner: ModelRunner,
    tokenizer: Tokenizer,
    pageCount: number,
    options: EngineOptions,
  ) {
    this.model = prepared.info;
    this.#runner = runner;
    this.#tokenizer = tokenizer;
    this.#encoder = new PromptEncoder(tokenizer, prepared);
    this.#texts = new TokenTexts(tokenizer);
    this.#tools = new ModelTools(prepared.chatTemplate, tokenizer);
    this.#grammars = new GrammarCache(
      new GrammarCompiler(tokenizer, {
        vocabSize: prepared.info.vocabSize,
        control: this.#encoder.controlTokenIds,
        ends: [...prepared.eosTokenIds],
      }),
    );
    this.#eosTokenIds = new Set(prepared.eosTokenIds);
    this.#prefixCache = options.prefixCache;
    this.#scheduler = new Scheduler({
      pageCount,
      adapterPoolPages:
        options.adapterPoolShare === null ? null : Math.floor(pageCount * options.adapterPoolShare),
      maxBatchTokens: options.maxBatchTokens,
      maxRunning: options.maxRunning,
      maxBatchAdapters: options.maxBatchAdapters,
      tpotTargetSeconds: options.tpotTargetMs === null ? null : options.tpotTargetMs / 1000,
      speculation: options.speculation,
      costs: new CostModel({ attentionScale: attentionScale(prepared.info) }),
      policy: new ExpectedSaving(),
      adapterPages: (digest) => this.#adapters.get(digest)!.layout.pageCount,
      onEvictAdapter: (slot, reason) => {
        this.#totals.adapterEvictions[reason]++;
        runner.unloadAdapter(slot);
      },
    });
    this.#loop = this.#run();
  }

  get ready(): boolean {
    return !this.#closed;
  }

  async addAdapter(weights: AdapterWeights): Promise<void> {
    this.#leaving.delete(weights.digest);
    // The same content again, perhaps in another file: that one is read from now on.
    this.#adapters.set(weights.digest, { weights, layout: this.#runner.layOut(weights) });
  }

  async removeAdapter(digest: string): Promise<void> {
    if (!this.#adapters.has(digest)) return;
    this.#leaving.add(digest);
    this.#forgetUnused(digest);
  }

  async pinAdapter(digest: string, pinned: boolean): Promise<void> {
    if (!this.#adapters.has(digest) || this.#leaving.has(digest)) {
      throw new EngineError('adapter_not_loaded', `adapter ${digest} is not known to the engine`);
    }
    const { adapters, pool } = this.#scheduler.memory;
    if (pinned && !adapters.pinned.has(digest)) {
      const pages = (each: string) => this.#adapters.get(each)!.layout.pageCount;
      const unpinned = [...this.#adapters.keys()].filter(
        (each) => each !== digest && !adapters.pinned.has(each),
      );
      const most = Math.max(0, ...unpinned.map(pages));
      const kept = [...adapters.pinned, digest].reduce((sum, each) => sum + pages(each), 0);
      const needed = kept + most + blocksFor(this.model.maxModelLen);
      if (needed > pool.pageCount) {
        throw new EngineError(
          'adapter_does_not_fit',
          `with this adapter pinned, the largest other one and the longest request need ${needed} pages of the ` +
            `pool's ${pool.pageCount}; enlarge the pool or pin fewer adapters`,
        );
      }
    }
    adapters.pin(digest, pinned);
    this.#reschedule();
  }

  async *generate(request: GenerationRequest, signal?: AbortSignal): AsyncGenerator<GenerationEvent> {
    let accepted: Request;
    let grammar: GrammarLease | null = null;
    try {
      const constraint = this.#tools.constraintOf(request);
      if (constraint !== null) {
        grammar = await this.#grammars.begin(request.scheduling.tenant, constraint, signal);
      }
      accepted = this.#accept({ ...request, sampling: { ...request.sampling, constraint } }, grammar);
    } catch (error) {
      grammar?.release();
      yield errorEvent(error);
      return;
    }
    const { sequence, events } = accepted;
    const cancel = () => {
      this.#cancelled.add(sequence);
      this.#reschedule();
    };
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted) cancel();
    try {
      yield { type: 'start', promptTokenIds: [...sequence.prompt] };
      yield* events;
    } finally {
      signal?.removeEventListener('abort', cancel);
      if (!accepted.ended) cancel();
    }
  }

  async tokenize(prompt: Prompt): Promise<number[]> {
    this.#refuseTooLong(prompt);
    return [...this.#encoder.tokenize(prompt)];
  }

  async detokenize(ids: readonly number[]): Promise<string> {
    return this.#tokenizer.decode(Uint32Array.from(ids), false);
  }

  async describeTokens(ids: readonly number[]): Promise<TokenText[]> {
    return ids.map((id) => this.#texts.textOf(id));
  }

  async stats(): Promise<EngineStats> {
    const { memory, running, waiting, preemptions, promptTokens, shares, service } = this.#scheduler;
    const { pool, adapters } = memory;
    const { operators } = this.#totals;
    const operatorSeconds = Object.values(operators).reduce((sum, seconds) => sum + seconds, 0);
    const grammars = this.#grammars.stats;
    const { waitedSeconds, ...masks } = this.#runner.maskStats;
    const digests = (sequences: ReadonlySet<Sequence>) => [
      ...new Set([...sequences].flatMap(({ adapter }) => adapter ?? [])),
    ];
    return {
      running: running.size,
      waiting: waiting.size,
      pageTokens: BLOCK_TOKENS,
      pagesTotal: pool.pageCount,
      pagesKv: pool.count('kv'),
      pagesPrefix: pool.count('prefix'),
      pagesAdapter: pool.count('adapter'),
      pagesAdapterInUse: pool.count('adapter') - adapters.idlePages,
      residentAdapters: adapters.resident,
      runningAdapters: digests(running),
      waitingAdapters: digests(waiting),
      stepsTotal: this.#totals.steps,
      stepSecondsTotal: this.#totals.stepSeconds,
      operatorSecondsTotal: operatorSeconds,
      stepSecondsByKernel: {
        ...operators,
        graph: Math.max(0, this.#totals.stepSeconds - operatorSeconds),
      },
      stepTokens: this.#totals.stepTokens.distribution,
      stepSequences: this.#totals.stepSequences.distribution,
      stepAdapters: this.#totals.stepAdapters.distribution,
      promptTokensTotal: this.#totals.promptTokens,
      generationTokensTotal: this.#totals.generationTokens,
      draftedTokensTotal: this.#totals.draftedTokens,
      acceptedTokensTotal: this.#totals.acceptedTokens,
      preemptionsTotal: preemptions,
      adapterLoadsTotal: this.#totals.adapterLoads.count,
      adapterLoads: this.#totals.adapterLoads.times,
      adapterLoadFailuresTotal: this.#totals.adapterLoadFailures,
      adapterEvictionsTotal: { ...this.#totals.adapterEvictions },
      prefixEvictionsTotal: memory.prefixEvictions,
      prefixQueriesTotal: promptTokens.total,
      prefixHitsTotal: promptTokens.cached,
      grammarsCached: grammars.cached,
      grammarBytes: grammars.cachedBytes,
      grammarHitsTotal: grammars.hits,
      grammarCompilations: grammars.compilations,
      masks,
      maskWaitSecondsTotal: waitedSeconds,
      tenants: shares,
      service,
      ...this.#runner.machine,
    };
  }

  async pageMap(): Promise<PageMap> {
    const { memory, running } = this.#scheduler;
    return pageMap(memory, running, this.#runner.pageBytes);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#reschedule();
    await this.#loop;
    for (const request of this.#requests.values()) {
      this.#fail(request, new EngineError('engine_unavailable', 'the engine was stopped'));
    }
  }

  /** Tokenizes a request, checks that it can run, and queues it. */
  #accept(request: GenerationRequest, grammar: GrammarLease | null): Request {
    if (this.#closed) throw new EngineError('engine_unavailable', 'the engine was stopped');
    if (this.#requests.has(request.id)) {
      throw new EngineError('internal_error', `request id ${request.id} is already in use`);
    }
    const { adapter } = request;
    if (adapter !== null && (!this.#adapters.has(adapter) || this.#leaving.has(adapter))) {
      throw new EngineError('adapter_not_loaded', `adapter ${adapter} is not known to the engine`);
    }
    this.#refuseTooLong(request.prompt);
    const prompt = this.#encoder.encode(request.prompt);
    const { sampling, pooled = false } = request;
    const maxTokens = pooled
      ? 0
      : (sampling.maxTokens ?? Math.max(1, this.model.maxModelLen - prompt.length));
    const total = prompt.length + maxTokens;
    if (total > this.model.maxModelLen) {
      throw this.#tooLong(
        `you requested ${total} tokens (${prompt.length} in the prompt, ${maxTokens} in the completion)`,
      );
    }
    if (!this.#scheduler.canEverFit(total, adapter)) {
      throw new EngineError(
        'adapter_does_not_fit',
        `${total} tokens and the adapter together need more memory than the pool's ` +
          `${this.#scheduler.memory.pool.pageCount} pages; enlarge the pool or shorten the request`,
      );
    }
    const handle = this.#nextHandle++;
    const { tenant, weight, priority, timeoutSeconds } = request.scheduling;
    const arrived = now();
    const sequence = new Sequence({
      id: request.id,
      handle,
      prompt,
      adapter,
      sampling,
      maxTokens,
      pooled,
      tenant,
      weight,
      priority,
      prefixRoot: this.#prefixRoot(request),
      sharesWithAll: this.#sharesWithAll(request),
      lengthKeys: lengthKeys(request),
      arrived,
      deadline: timeoutSeconds === null ? null : arrived + timeoutSeconds,
    });
    this.#assertInTime(sequence, timeoutSeconds);
    const output = new OutputProcessor(
      sequence,
      this.#tokenizer,
      this.#texts,
      this.#eosTokenIds,
      this.#tools.reader(request),
    );
    const accepted: Request = {
      sequence,
      output,
      events: new EventQueue<GenerationEvent>(),
      grammar,
      adapterLoad: null,
      ended: false,
      complete: false,
    };
    this.#runner.addSequence(sequence, {
      cursor: grammar?.cursor ?? null,
      watched: this.#scheduler.speculation.watches,
    });
    this.#requests.set(request.id, accepted);
    this.#scheduler.add(sequence);
    this.#reschedule();
    return accepted;
  }

  /** Whose prefixes a request shares; null: it shares none. */
  #prefixRoot({ adapter, scheduling }: GenerationRequest): string | null {
    if (this.#prefixCache === 'off') return null;
    const everyone = this.#sharesWithAll({ adapter });
    return prefixRoot({
      model: this.model.digest,
      adapter,
      tenant: everyone ? null : scheduling.tenant,
      salt: scheduling.cacheSalt,
    });
  }

  #sharesWithAll({ adapter }: Pick<GenerationRequest, 'adapter'>): boolean {
    return this.#prefixCache === 'shared' && adapter === null;
  }

  /** Refuses at once what would only be refused later, so that the client can go elsewhere. */
  #assertInTime(sequence: Sequence, timeoutSeconds: number | null): void {
    if (timeoutSeconds === null) return;
    const wait = this.#scheduler.predictedWait(sequence);
    if (wait <= timeoutSeconds) return;
    throw new EngineError(
      'deadline_exceeded',
      `the request would wait about ${wait.toFixed(1)} s and may wait ${timeoutSeconds} s; try again later`,
      { retryAfterSeconds: wait - timeoutSeconds },
    );
  }

  /** Before a huge text is read: that would keep all others waiting. */
  #refuseTooLong(prompt: Prompt): void {
    const least = this.#encoder.leastTokens(prompt);
    if (least > this.model.maxModelLen) throw this.#tooLong(`your prompt has at least ${least} tokens`);
  }

  #tooLong(what: string): EngineError {
    return new EngineError(
      'context_length_exceeded',
      `This model's maximum context length is ${this.model.maxModelLen} tokens. However, ${what}. ` +
        'Please reduce the length of the prompt or completion.',
    );
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      this.#dropCancelled();
      const schedule = this.#scheduler.schedule(now());
      const { batch, loads, expired } = schedule;
      for (const load of loads) void this.#load(load);
      for (const sequence of expired) this.#expire(sequence);
      if (batch.length > 0) {
        await this.#runBatch(schedule);
      } else if (this.#scheduler.isIdle || this.#loading > 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = null;
      } else {
        const [stuck] = this.#scheduler.waiting;
        if (stuck === undefined) continue;
        this.#fail(
          this.#requests.get(stuck.id)!,
          new EngineError('internal_error', 'the request cannot be scheduled'),
        );
      }
    }
  }

  /** There is something new to decide about: ends the wait, or the run after its current step. */
  #reschedule(): void {
    this.#wake?.();
    if (this.#running) this.#runner.interrupt();
  }

  /** While the addon computes a step, the one before it is handed out. */
  async #runBatch({ batch, steps, drafts }: Schedule): Promise<void> {
    this.#running = true;
    try {
      const slotOf = (digest: string) => this.#scheduler.memory.adapters.slot(digest);
      const adapters = adaptersOf(batch);
      await this.#runner.run(batch, steps, drafts, slotOf, (output) => {
        this.#totals.stepAdapters.observe(adapters);
        this.#stepped(batch, output);
      });
    } catch (error) {
      for (const { sequence } of batch) this.#fail(this.#requests.get(sequence.id)!, error);
    } finally {
      this.#running = false;
      for (const request of this.#ended.splice(0)) this.#release(request);
    }
  }

  #stepped(batch: readonly ScheduledSequence[], { sequences, seconds, operators }: StepOutput): void {
    const totals = this.#totals;
    totals.steps++;
    totals.stepSeconds += seconds;
    totals.operators.projections += operators.projections;
    totals.operators.attention += operators.attention;
    totals.operators.head += operators.head;
    totals.operators.sampling += operators.sampling;
    totals.stepSequences.observe(batch.length);
    let [decodeRows, prefillWork, tokens] = [0, 0, 0];
    for (const [index, { sequence, rows }] of batch.entries()) {
      tokens += rows + sequences[index]!.drafted;
      if (sequence.isDecoding) decodeRows += rows + sequences[index]!.drafted;
      else prefillWork += this.#scheduler.costs.prefillWork(sequence.computed, rows);
      // One that ended at the step before has no token here.
      if (!this.#requests.get(sequence.id)!.ended) this.#scheduler.computed({ sequence, rows });
    }
    totals.stepTokens.observe(tokens);
    this.#scheduler.costs.stepped({ decodeRows, prefillWork, seconds });
    for (const output of sequences) this.#deliver(output);
  }

  #deliver({ sequence, scored, next, drafted, pooled }: SequenceOutput): void {
    const request = this.#requests.get(sequence.id)!;
    // It ended at the step before, when this one had begun.
    if (request.ended) return;
    if (scored.some(({ token }) => token < 0) || pooled?.every(Number.isFinite) === false) {
      this.#fail(request, unchosenError(-1));
      return;
    }
    for (const event of request.output.acceptPrompt(scored)) request.events.push(event);
    if (pooled !== null) request.events.push({ type: 'pooled', vector: normalized(pooled) });
    if (sequence.maxTokens === 0 && sequence.computed === sequence.length) {
      this.#totals.promptTokens += sequence.prompt.length;
      request.events.push({ ...request.output.finish('length', null), timing: timingOf(request) });
      this.#end(request);
      return;
    }
    if (next.length === 0) return;
    if (sequence.output.length === 0) this.#totals.promptTokens += sequence.prompt.length;
    this.#totals.draftedTokens += drafted;
    this.#totals.acceptedTokens += next.length - 1;
    this.#scheduler.speculation.stepped(sequence, next.length);
    for (const [index, token] of next.entries()) {
      // A draft that was right was a row of its own, computed as if it came a step later.
      if (index > 0) this.#scheduler.computed(sequence.decode);
      this.#deliverNext(request, token);
      // What was drafted beyond its end is nobody's.
      if (request.ended) return;
    }
  }

  #deliverNext(request: Request, next: NextToken): void {
    const { sequence, output, events } = request;
    if (next.token < 0) {
      this.#fail(request, unchosenError(next.token));
      return;
    }
    this.#scheduler.speculation.observe(sequence, next.match);
    this.#totals.generationTokens++;
    sequence.output.push(next.token);
    const accepted = output.accept(next);
    const [first] = accepted;
    if (sequence.output.length === 1 && first?.type === 'delta') {
      accepted[0] = { ...first, timing: timingOf(request) };
    }
    for (const event of accepted) events.push(event);
    if (accepted.length > 1) {
      request.complete = true;
      this.#end(request);
    }
  }

  async #load(load: AdapterLoad): Promise<void> {
    const adapter = this.#adapters.get(load.digest)!;
    this.#loading++;
    const started = now();
    try {
      await assertUnchanged(adapter.weights);
      await this.#runner.loadAdapter(load, adapter.weights, adapter.layout);
      await assertUnchanged(adapter.weights);
      const until = now();
      const seconds = until - started;
      this.#scheduler.costs.loaded(load.pages.length, seconds);
      this.#scheduler.adapterLoaded(load.digest);
      this.#totals.adapterLoads.observe(seconds);
      for (const request of this.#requests.values()) {
        const { adapter, began, arrived } = request.sequence;
        if (adapter !== load.digest || began !== null) continue;
        request.adapterLoad = { from: Math.max(started, arrived), until };
      }
    } catch (error) {
      this.#totals.adapterLoadFailures++;
      this.#scheduler.adapterFailed(load.digest);
      // It would be read again and again.
      this.#scheduler.memory.adapters.pin(load.digest, false);
      const reason = error instanceof Error ? error.message : String(error);
      const failed = [...this.#requests.values()].filter(({ sequence }) => sequence.adapter === load.digest);
      for (const request of failed) {
        this.#fail(request, new EngineError('adapter_load_failed', reason, { cause: error }));
      }
    } finally {
      this.#loading--;
      if (this.#leaving.has(load.digest)) this.#forgetUnused(load.digest);
      this.#reschedule();
    }
  }

  #dropCancelled(): void {
    for (const sequence of this.#cancelled) {
      const request = this.#requests.get(sequence.id);
      if (request?.sequence !== sequence || request.ended) continue;
      request.events.push(request.output.finish('abort', null));
      this.#end(request);
    }
    this.#cancelled.clear();
  }

  /** Its deadline passed while it waited. */
  #expire(sequence: Sequence): void {
    const message = `the request waited longer than its ${(sequence.deadline! - sequence.arrived).toFixed(1)} s`;
    this.#fail(this.#requests.get(sequence.id)!, new EngineError('deadline_exceeded', message));
  }

  #fail(request: Request, error: unknown): void {
    if (request.ended) return;
    request.events.push(errorEvent(error));
    this.#end(request);
  }

  /** Its last event is pushed: tells the consumer, and lets go of what it held as soon as no run uses it. */
  #end(request: Request): void {
    request.ended = true;
    request.events.end();
    if (this.#running) {
      this.#ended.push(request);
      this.#runner.interrupt();
    } else {
      this.#release(request);
    }
  }

  #release({ sequence, grammar, complete }: Request): void {
    grammar?.release();
    this.#scheduler.remove(sequence, complete);
    this.#runner.removeSequence(sequence);
    this.#requests.delete(sequence.id);
    if (sequence.adapter !== null && this.#leaving.has(sequence.adapter)) {
      this.#forgetUnused(sequence.adapter);
    }
  }

  #forgetUnused(digest: string): void {
    for (const { sequence } of this.#requests.values()) {
      if (sequence.adapter === digest) return;
    }
    // One that is being read right now is forgotten when that is done.
    const { adapters, prefixes } = this.#scheduler.memory;
    if (adapters.state(digest) === 'loading') return;
    adapters.drop(digest);
    prefixes.drop(digest);
    this.#leaving.delete(digest);
    this.#adapters.delete(digest);
  }
}

/** How a request began, at its first token. */
function timingOf({ sequence: { arrived, began }, adapterLoad }: Request): RequestTiming {
  const first = now();
  const from = began ?? first;
  return {
    queuedSeconds: from - arrived,
    adapterLoad:
      adapterLoad === null
        ? null
        : { afterSeconds: adapterLoad.from - arrived, seconds: adapterLoad.until - adapterLoad.from },
    prefillSeconds: first - from,
  };
}

/** Why a step has no token for a request, by the code in its place. */
function unchosenError(code: number): EngineError {
  switch (code) {
    case -2:
      return new EngineError(
        'constraint_failed',
        'no token that the constraint allows could be chosen: `min_tokens` or `logit_bias` rule all of them out',
      );
    case -3:
      return new EngineError(
        'constraint_failed',
        'the constraint became too complex to go on with this answer',
      );
    default:
      return new EngineError('numerical_error', 'the model gave values that are not finite for this request');
  }
}

/** Different adapters in a batch. */
function adaptersOf(batch: readonly ScheduledSequence[]): number {
  const digests = new Set<string>();
  for (const { sequence } of batch) if (sequence.adapter !== null) digests.add(sequence.adapter);
  return digests.size;
}

/** Tokens of context whose attention costs a row as much as the linear layers: their multiplications, at a third of the speed. */
function attentionScale(model: ModelInfo): number {
  const { hiddenSize, intermediateSize, headCount, kvHeadCount, headDim } = model;
  const attended = 2 * headCount * headDim;
  const linear = hiddenSize * (attended + 2 * kvHeadCount * headDim + 3 * intermediateSize);
  return linear / attended / 3;
}

/** The adapter's answers of a category, then all of the adapter's. Digests have no spaces. */
function lengthKeys({ adapter, scheduling: { category } }: GenerationRequest): string[] {
  const general = adapter ?? '';
  return category === null ? [general] : [`${general} ${category}`, general];
}

/** Seconds of a clock that never goes back. */
function now(): number {
  return performance.now() / 1000;
}
