import { type Principal, StorageError } from '@polylora/adapters-store';
import {
  type AdapterWeights,
  EngineError,
  type EngineProcess,
  errorEvent,
  type GenerationEvent,
  type GenerationRequest,
  type MixturePart,
  mixAdapters,
  mixtureDigest,
  POOLED_SAMPLING,
  type Prompt,
} from '@polylora/engine';
import type { AdapterCatalog, CatalogAdapter } from '../adapters/catalog.ts';
import type { Cancellation } from '../cancellation.ts';
import { ApiError } from '../errors.ts';
import type {
  Backend,
  BackendEmbedding,
  BackendEvent,
  BackendModel,
  BackendPool,
  BackendRequest,
  BackendStats,
  BackendTokenizer,
  BackendVector,
  Computer,
  WeightedModel,
} from './backend.ts';
import { apiErrorOf } from './failure.ts';
import { MixtureUses } from './mixture-uses.ts';

export interface EmbeddedBackendOptions {
  readonly engine: EngineProcess;
  readonly catalog: AdapterCatalog;
  /** The base model's name in the API. */
  readonly servedModelName: string;
  /** Unix time in seconds, given as the base model's `created`. */
  readonly startedAt: number;
  /** Told of each adapter that cannot be loaded, but for those that the engine was told of and could not read: it counts these. */
  readonly onLoadFailure: () => void;
}

/** The name that always means the base model. */
const BASE_ALIAS = 'base';

/** Contents that the engine knows; the one not asked for the longest is forgotten, and told again when it is. */
const MOST_KNOWN = 4096;
/** Mixtures that the engine knows while no request is for them: a large one takes a megabyte here and one there. */
const MOST_IDLE_MIXTURES = 64;
/** What the engine says of an adapter whose file is not where it was told. */
const GONE: ReadonlySet<string> = new Set(['adapter_not_loaded', 'adapter_load_failed']);
/** Why adapters are not loaded where neither they nor where they are kept are at fault: removed meanwhile, no mixture, or a stop. */
const NO_LOAD_FAILURES: ReadonlySet<string> = new Set([
  'adapter_not_loaded',
  'adapters_not_mixable',
  'engine_unavailable',
]);
/** Names of one content that metrics tell. */
const MOST_NAMES = 8;

/** Texts of one request that are pooled at the same time, so that others find room beside it. */
const MOST_POOLED = 16;

type BackendError = Extract<BackendEvent, { type: 'error' }>;
type PooledEvent = Extract<GenerationEvent, { type: 'pooled' }>;
type RunEvent = BackendEvent | PooledEvent;

/** The engine on this machine, with the adapters of a catalog. */
export class EmbeddedBackend implements Backend {
  readonly tokenizer: BackendTokenizer;
  readonly base: BackendModel;
  readonly answer = null;
  readonly #engine: EngineProcess;
  readonly #catalog: AdapterCatalog;
  readonly #onLoadFailure: () => void;
  /** Digests that the engine was told of, or is being told, in the order of their last use. */
  readonly #known = new Map<string, Promise<void>>();
  /** Those of them that are mixtures, with what is in them. */
  readonly #mixtures = new Map<string, readonly MixturePart[]>();
  readonly #mixtureUses = new MixtureUses(MOST_IDLE_MIXTURES);
  /** Names by which each of them was asked for: the same weights may be served under several. */
  readonly #names = new Map<string, Set<string>>();
  /** Digests that stay in memory, with the name under which that was asked for. */
  readonly #pinned = new Map<string, string>();

  constructor({ engine, catalog, servedModelName, startedAt, onLoadFailure }: EmbeddedBackendOptions) {
    this.#engine = engine;
    this.#catalog = catalog;
    this.#onLoadFailure = onLoadFailure;
    this.tokenizer = {
      tokenize: (prompt) => engine.tokenize(prompt).catch(rethrow),
      detokenize: (ids) => engine.detokenize(ids).catch(rethrow),
      describe: (ids) => engine.describeTokens(ids).catch(rethrow),
    };
    const { digest, maxModelLen, vocabSize, name } = engine.model;
    this.base = {
      id: servedModelName,
      parent: null,
      root: name,
      created: startedAt,
      maxModelLen,
      vocabSize,
      mixture: null,
      fingerprint: fingerprint(digest),
      task: 'generate',
    };
  }

  /** Names that no adapter can have. */
  static reservedNames(servedModelName: string): ReadonlySet<string> {
    return new Set([BASE_ALIAS, servedModelName]);
  }

  get computer(): 'engine' {
    return 'engine';
  }

  get ready(): boolean {
    return this.#engine.ready;
  }

  async models(principal: Principal): Promise<readonly BackendModel[]> {
    const adapters = await this.#catalog.list(principal);
    return [this.base, ...adapters.map((adapter) => this.#modelOf(adapter))];
  }

  async find(name: string, principal: Principal): Promise<BackendModel | null> {
    if (name === BASE_ALIAS || name === this.base.id) return this.base;
    const adapter = await this.#catalog.find(name, principal);
    return adapter === null ? null : this.#modelOf(adapter);
  }

  mix(parts: readonly WeightedModel[]): BackendModel {
    const mixture = parts.map(({ model, weight }) => ({ digest: model.root, weight }));
    const digest = mixtureDigest(mixture);
    return {
      ...this.base,
      id: parts.map(({ model, weight }) => `${weight}*${model.id}`).join('+'),
      parent: this.base.id,
      root: digest,
      created: Math.max(...parts.map(({ model }) => model.created)),
      mixture,
      fingerprint: fingerprint(this.#engine.model.digest, digest),
    };
  }

  /**
   * Makes a content known to the engine, once however many ask for it.
   * @throws EngineError where the engine cannot serve it, or what the catalog throws where it cannot be read
   */
  async load(digest: string, mixture: readonly MixturePart[] | null = null): Promise<void> {
    const known = this.#known.get(digest) ?? this.#tell(digest, mixture);
    this.#known.delete(digest);
    this.#known.set(digest, known);
    try {
      await known;
    } catch (error) {
      if (this.#known.get(digest) === known) {
        this.#known.delete(digest);
        this.#mixtures.delete(digest);
        // Known from before, it would have been removed but for this call.
        await this.#engine.removeAdapter(digest).catch(() => {});
      }
      throw error;
    }
    if (this.#known.size <= MOST_KNOWN) return;
    for (const oldest of this.#known.keys()) {
      if (!this.#pinned.has(oldest)) return await this.unload(oldest);
    }
  }

  /** Lets go of a content and of mixtures with it: requests that run with it end as they would have. */
  async unload(digest: string): Promise<void> {
    const known = this.#known.get(digest);
    this.#known.delete(digest);
    this.#names.delete(digest);
    this.#pinned.delete(digest);
    this.#mixtures.delete(digest);
    const mixtures = [...this.#mixtures].filter(([, parts]) => parts.some((part) => part.digest === digest));
    await Promise.all(mixtures.map(([mixture]) => this.unload(mixture)));
    // What is still being told would be known after all.
    await known?.catch(() => {});
    // Meanwhile somebody may have asked for it anew.
    if (!this.#known.has(digest)) await this.#engine.removeAdapter(digest);
  }

  generate(
    model: BackendModel,
    request: BackendRequest,
    cancellation: Cancellation,
  ): AsyncGenerator<BackendEvent> {
    const { id, prompt, sampling, scheduling } = request;
    // Nothing is pooled unless it is asked for.
    return this.#run(
      model,
      { id, prompt, sampling, scheduling },
      request.echo,
      cancellation.signal,
    ) as AsyncGenerator<Exclude<RunEvent, PooledEvent>>;
  }

  async embed(
    model: BackendModel,
    { id, inputs, truncate, scheduling }: BackendEmbedding,
    cancellation: Cancellation,
  ): Promise<readonly BackendVector[]> {
    // The first that fails ends the others.
    const failed = new AbortController();
    const both = AbortSignal.any([cancellation.signal, failed.signal]);
    const vectors: BackendVector[] = [];
    const left = [...inputs.entries()].reverse();
    const work = async () => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) {
        const [index, input] = next;
        const prompt = truncate === null ? input : await this.#cut(input, truncate);
        const request = { id: `${id}-${index}`, prompt, sampling: POOLED_SAMPLING, scheduling, pooled: true };
        vectors[index] = await pooledVector(this.#run(model, request, false, both));
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(MOST_POOLED, inputs.length) }, work));
    } catch (error) {
      failed.abort();
      cancellation.throwIfCancelled();
      throw error;
    }
    return vectors;
  }

  /** The first tokens of a prompt. */
  async #cut(prompt: Prompt, truncate: number | 'model'): Promise<Prompt> {
    const ids = prompt.kind === 'tokens' ? prompt.ids : await this.#engine.tokenize(prompt);
    const { maxModelLen } = this.#engine.model;
    return { kind: 'tokens', ids: ids.slice(0, truncate === 'model' ? maxModelLen : truncate) };
  }

  /** A request under the model's adapter. */
  async *#run(
    model: BackendModel,
    request: Omit<GenerationRequest, 'adapter'>,
    echo: boolean,
    signal: AbortSignal,
  ): AsyncGenerator<RunEvent> {
    const adapter = model.parent === null ? null : model.root;
    // The engine may read their files at any time until the request's end.
    const releases = contentsOf(model).map((digest) => this.#catalog.hold(digest));
    if (model.mixture !== null) this.#mixtureUses.begin(model.root);
    try {
      if (adapter !== null) {
        await this.load(adapter, model.mixture);
        this.#nameOf(adapter, model.id);
      }
      for await (const event of this.#engine.generate({ adapter, ...request }, signal)) {
        if (event.type === 'error') {
          if (adapter !== null && GONE.has(event.code)) await this.#forget(adapter);
          yield await this.#failed(model, { ...event, param: paramOf(event, request) });
        } else {
          yield event.type === 'start'
            ? await this.#started(event.promptTokenIds, request.prompt, echo)
            : withoutIds(event);
        }
      }
    } catch (error) {
      yield await this.#failed(model, errorEvent(error instanceof EngineError ? error : unreadable(error)));
    } finally {
      for (const release of releases) release();
      const idle = model.mixture === null ? null : this.#mixtureUses.end(model.root);
      if (idle !== null) void this.unload(idle).catch(() => {});
    }
  }

  async stats(): Promise<BackendStats> {
    const stats = await this.#engine.stats();
    return {
      ...stats,
      restartsTotal: this.#engine.restarts,
      adapterCounts: { resident: stats.residentAdapters.length, running: stats.runningAdapters.length },
      residentAdapters: this.#namesOf(stats.residentAdapters),
      runningAdapters: this.#namesOf(stats.runningAdapters),
      waitingAdapters: this.#namesOf(stats.waitingAdapters),
    };
  }

  async pool(): Promise<BackendPool> {
    const map = await this.#engine.pageMap().catch(rethrow);
    const names = new Map<string, string>();
    for (const owner of map.owners) {
      const digest = owner.kind === 'adapter' ? owner.digest : 'adapter' in owner ? owner.adapter : null;
      const [name] = digest === null ? [] : this.#namesOf([digest]);
      if (digest !== null && name !== undefined) names.set(digest, name);
    }
    return { ...map, names };
  }

  async pin({ id, root }: BackendModel, pinned: boolean): Promise<void> {
    try {
      if (pinned) {
        await this.load(root);
        this.#nameOf(root, id);
      }
      await this.#engine.pinAdapter(root, pinned);
    } catch (error) {
      rethrow(error instanceof EngineError ? error : unreadable(error));
    }
    // What the name stood for before it was moved on.
    const before = [...this.#pinned].filter(([digest, name]) => name === id && digest !== root);
    if (pinned) this.#pinned.set(root, id);
    else this.#pinned.delete(root);
    for (const [digest] of before) {
      this.#pinned.delete(digest);
      await this.#engine.pinAdapter(digest, false).catch(() => {});
    }
  }

  get computers(): readonly Computer[] {
    const { ready, restarts, lastFailure, since } = this.#engine;
    return [
      {
        id: 'engine',
        kind: 'engine',
        ready,
        model: this.base.id,
        url: null,
        restarts,
        circuit: null,
        lastError: lastFailure,
        since,
      },
    ];
  }

  async close(): Promise<void> {
    await this.#catalog.close();
    await this.#engine.close();
  }

  async #started(promptTokenIds: readonly number[], prompt: Prompt, echo: boolean): Promise<BackendEvent> {
    const promptTokens = promptTokenIds.length;
    if (!echo) return { type: 'start', promptTokens, promptText: null };
    const promptText = prompt.kind === 'text' ? prompt.text : await this.#engine.detokenize(promptTokenIds);
    return { type: 'start', promptTokens, promptText };
  }

  #namesOf(digests: readonly string[]): string[] {
    return digests.flatMap((digest) => [...(this.#names.get(digest) ?? [])]);
  }

  #modelOf({ name, digest, task, createdAt }: CatalogAdapter): BackendModel {
    return {
      ...this.base,
      id: name,
      parent: this.base.id,
      root: digest,
      created: createdAt,
      task,
      fingerprint: fingerprint(this.#engine.model.digest, digest),
    };
  }

  /** The next who asks has it looked up anew: it may have been removed and pushed again, through another gateway too. */
  async #forget(digest: string): Promise<void> {
    await this.unload(digest).catch(() => {});
  }

  /** What a client is told: that there is no such model, where an adapter was removed after the request had found it. */
  async #failed(model: BackendModel, failure: BackendError): Promise<BackendError> {
    if (!GONE.has(failure.code)) return failure;
    const found = await Promise.all(
      contentsOf(model).map((digest) => this.#catalog.weights(digest).catch((error: unknown) => ({ error }))),
    );
    if (!found.includes(null)) return failure;
    const message = `The model \`${model.id}\` was removed before the request could run.`;
    return { type: 'error', code: 'model_not_found', message, retryAfterSeconds: null };
  }

  async #tell(digest: string, mixture: readonly MixturePart[] | null): Promise<void> {
    // Before it is known: a part may be removed meanwhile, and takes its mixtures with it.
    if (mixture !== null) this.#mixtures.set(digest, mixture);
    try {
      const weights =
        mixture === null
          ? await this.#weights(digest)
          : await mixAdapters(mixture, (part) => this.#weights(part));
      await this.#engine.addAdapter(weights);
    } catch (error) {
      if (!(error instanceof EngineError && NO_LOAD_FAILURES.has(error.code))) this.#onLoadFailure();
      throw error;
    }
  }

  /** An adapter as the engine knows it: names and dates are none of its business. */
  async #weights(digest: string): Promise<AdapterWeights> {
    const weights = await this.#catalog.weights(digest);
    if (weights === null) throw new EngineError('adapter_not_loaded', `adapter ${digest} is gone`);
    const { files, modules } = weights;
    return { digest, files, modules };
  }

  #nameOf(digest: string, name: string): void {
    const names = this.#names.get(digest) ?? new Set();
    if (names.size < MOST_NAMES) names.add(name);
    this.#names.set(digest, names);
  }
}

/** The field that is at fault where it is what the answer must keep to. */
function paramOf({ code }: BackendError, { sampling }: Pick<BackendRequest, 'sampling'>): string | null {
  return code === 'invalid_schema' || code === 'invalid_grammar'
    ? (sampling.constraint?.field ?? null)
    : null;
}

/** The vector of a request that has nothing but one. @throws ApiError */
async function pooledVector(events: AsyncIterable<RunEvent>): Promise<BackendVector> {
  let vector: Float32Array | null = null;
  for await (const event of events) {
    if (event.type === 'error') throw apiErrorOf(event);
    if (event.type === 'pooled') vector = event.vector;
    if (event.type === 'finish' && vector !== null) {
      return { vector, promptTokens: event.usage.promptTokens };
    }
  }
  throw new ApiError('engine_unavailable', 'The engine stopped before the answer was complete.');
}

function withoutIds(event: Exclude<GenerationEvent, { type: 'start' | 'error' }>): RunEvent {
  if (event.type !== 'delta') return event;
  const { type, text, logprobs, toolCalls, tokenIds, timing } = event;
  const delta = { type, text, logprobs, tokens: tokenIds.length };
  if (timing !== undefined) return { ...delta, timing, ...(toolCalls === undefined ? {} : { toolCalls }) };
  return toolCalls === undefined ? delta : { toolCalls, ...delta };
}

/** What the engine says of a client's prompt is meant for the client. */
function rethrow(error: unknown): never {
  if (!(error instanceof EngineError) || error.code === 'internal_error') throw error;
  throw new ApiError(error.code, error.message, null, { cause: error });
}

/** Digests of the adapters that a model is made of; none for the base. */
function contentsOf({ parent, root, mixture }: BackendModel): readonly string[] {
  return parent === null ? [] : (mixture?.map(({ digest }) => digest) ?? [root]);
}

/** What the catalog could not read is this adapter's fault, or the disk's: not the request's. */
function unreadable(error: unknown): EngineError {
  const reason = error instanceof Error ? error.message : String(error);
  // What is away now may be there again soon: the client is told to come again.
  const isAway = error instanceof StorageError && error.code === 'storage_unavailable';
  return new EngineError(isAway ? 'adapter_not_loaded' : 'adapter_load_failed', reason, { cause: error });
}

/** OpenAI's `system_fingerprint`: short, and different for different weights. */
function fingerprint(...digests: readonly string[]): string {
  return `fp_${digests.map((digest) => digest.slice(0, 10)).join('_')}`;
}
