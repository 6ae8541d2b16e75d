import type { Embedder, Embedding, EncoderInfo } from '@polylora/engine';
import { LRUCache } from 'lru-cache';
import { OPERATOR } from '../access/access.ts';
import type { Backend, BackendModel } from '../backends/backend.ts';
import type { Logger } from '../logging.ts';
import type { JsonObject } from '../openai/fields.ts';
import { invalidValue, quoted } from '../openai/fields.ts';
import { Ring } from '../ring.ts';
import type { SteadyClock } from '../steady-clock.ts';
import { grantNames } from '../tenants/model-grants.ts';
import { AnswerCache, partsOfRoot } from './answer-cache.ts';
import type { CacheMetrics } from './cache-metrics.ts';
import {
  type CachedAnswer,
  CachedGeneration,
  type CachedRequest,
  type GivenAnswer,
} from './cached-generation.ts';
import type { CategoryValues } from './categories/category.ts';
import { CategoryTable } from './categories/category-table.ts';
import type { StoredCategories } from './categories/stored-categories.ts';
import { type CacheControls, type CachedRoute, readControls } from './controls.ts';
import type { DocumentStore, ListedHead, StoredHead } from './documents/document-store.ts';
import { type EmbeddingState, EmbeddingUpkeep } from './embedding-upkeep.ts';
import type { Version } from './entries.ts';
import { LoadController } from './load-controller.ts';
import { QualityLoop } from './quality/quality-loop.ts';
import { QuestionEmbedder } from './question-embedder.ts';
import type { VectorIndex } from './vector-index/vector-index.ts';
import { ModelJudge } from './verification/model-judge.ts';
import type { Verifier } from './verification/verifier.ts';

/** What of the configuration may change while the server runs. */
export interface CacheSettings {
  readonly cacheCategories: Readonly<Record<string, CategoryValues>>;
  readonly cacheModelCategories: Readonly<Record<string, string>>;
  readonly cacheRouteCategories: Readonly<Partial<Record<CachedRoute, string>>>;
  readonly cacheTargetQueueMs: number;
  /** Whether questions may be remembered in words, to be shown to whoever looks after the cache. */
  readonly logPrompts: 'yes' | 'no';
}

/** An answer that was given again, for whoever looks after the cache. */
export interface RememberedHit extends Omit<GivenAnswer, 'question'> {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly tenant: string;
  /** As it was asked; null where prompts are not to be written down. */
  readonly question: string | null;
}

export interface CacheHostOptions {
  readonly documents: DocumentStore;
  /** Makes the index when the width of the embedding model's vectors is known. */
  readonly createIndex: (width: number) => VectorIndex;
  /** null: only equal questions are answered. */
  readonly embedder: Embedder | null;
  readonly verifier: Verifier | null;
  /** Categories that administrators have set, over those of the configuration. */
  readonly stored: StoredCategories;
  readonly exactBytes: number;
  readonly lookupMilliseconds: number;
  /** What computes the answers, by a name that no other computer has. */
  readonly server: string;
  /** As of now. */
  readonly backend: () => Backend;
  readonly settings: () => CacheSettings;
  readonly clock: SteadyClock;
  readonly metrics: CacheMetrics;
  readonly logger: Logger;
}

/** Entries that were reported, of which it is known that they were there. */
const MOST_REPORTED = 10_000;
const MOST_HITS = 1_000;
const MOST_QUESTION_CHARACTERS = 1_000;
/** Entries that are read together when the server starts, and changes. */
const PAGE = 1_000;
/** After which an answer is in the store, if the store is there. */
const UNWRITTEN_MILLISECONDS = 10_000;
const LOAD_MILLISECONDS = 250;
const CHANGES_MILLISECONDS = 1_000;
const HITS_MILLISECONDS = 5_000;
const MODELS_MILLISECONDS = 5_000;
const SWEEP_MILLISECONDS = 60_000;

/** The answer cache while the server runs: fills it from its store, and does what has to be done from time to time. */
export class CacheHost {
  readonly cache: AnswerCache;
  readonly categories: CategoryTable;
  readonly #options: CacheHostOptions;
  readonly #generation: CachedGeneration;
  readonly load: LoadController;
  /** null: only equal questions are answered. */
  readonly quality: QualityLoop | null;
  readonly #timers: NodeJS.Timeout[] = [];
  /** The last change of the store that is known here. */
  #sequence = 0;
  /** null: only equal questions are answered. */
  readonly #embedding: EmbeddingUpkeep | null;
  #isStoreUp = true;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly #hits = new Ring<RememberedHit>(MOST_HITS);
  /** Whose entries were reported, by id: they are gone, and whoever says it again is told the same. */
  readonly #reported = new LRUCache<string, string>({ max: MOST_REPORTED });

  private constructor(options: CacheHostOptions) {
    const { documents, createIndex, embedder, verifier, exactBytes, lookupMilliseconds, server } = options;
    const { settings, stored, clock, metrics, logger } = options;
    this.#options = options;
    this.startedAt = clock.now();
    this.categories = new CategoryTable(settings().cacheCategories, stored.values);
    this.cache = new AnswerCache({
      categories: this.categories,
      documents,
      embedder:
        embedder === null
          ? null
          : new QuestionEmbedder({ embedder, mostMilliseconds: lookupMilliseconds, logger }),
      verifier,
      judge: new ModelJudge(options.backend),
      exactBytes,
      now: () => clock.now(),
      metrics,
      logger,
    });
    this.load = new LoadController({
      categories: this.categories,
      targetMilliseconds: () => settings().cacheTargetQueueMs,
      now: () => performance.now(),
    });
    const quality =
      embedder === null ? null : new QualityLoop({ categories: this.categories, embedder, logger });
    this.quality = quality;
    const onLoaded = async ({ width, digest }: EncoderInfo) => {
      this.cache.kept.setVectors({ index: createIndex(width), encoder: digest });
      await this.#restore();
    };
    this.#embedding =
      embedder === null
        ? null
        : new EmbeddingUpkeep({ embedder, categories: this.categories, onLoaded, logger });
    this.#generation = new CachedGeneration({
      cache: this.cache,
      server,
      metrics,
      logger,
      onSimilar: (hit, remake) => quality?.offer(hit, remake),
      onHit: (given) => this.#remember(given),
      onSent: (most) => this.load.sent(most),
    });
  }

  /** Opens it with what is in the store. The embedding model may still load: until then equal questions are answered. */
  static async open(options: CacheHostOptions): Promise<CacheHost> {
    const host = new CacheHost(options);
    await host.#restore();
    host.#embedding?.update();
    host.#every(LOAD_MILLISECONDS, async () => host.load.step());
    host.#every(CHANGES_MILLISECONDS, () => host.#follow());
    host.#every(CHANGES_MILLISECONDS, () => host.followCategories());
    host.#every(HITS_MILLISECONDS, () => host.#writeHits());
    host.#every(MODELS_MILLISECONDS, () => host.#dropOldVersions());
    host.#every(SWEEP_MILLISECONDS, () => host.#sweep());
    return host;
  }

  /** @throws ApiError */
  answer(request: CachedRequest): Promise<CachedAnswer> {
    return this.#generation.answer(request);
  }

  /** What a request says of the cache; the model's category where it says none, or the route's. @throws ApiError */
  controls(
    body: JsonObject,
    model: BackendModel,
    route: CachedRoute,
    header: (name: string) => string | undefined,
  ): CacheControls {
    const controls = readControls(body, header);
    if (controls.category !== null) {
      if (this.categories.has(controls.category)) return controls;
      const known = this.categories.names.join(', ');
      throw invalidValue('cache.category', `there is no category '${quoted(controls.category)}': ${known}.`);
    }
    const { cacheModelCategories, cacheRouteCategories } = this.#options.settings();
    const name = grantNames(model).findLast((each) => Object.hasOwn(cacheModelCategories, each));
    const category = name === undefined ? cacheRouteCategories[route] : cacheModelCategories[name];
    return category === undefined ? controls : { ...controls, category };
  }

  /** Answers that are being made for whoever asks for them meanwhile. */
  get flights(): number {
    return this.#generation.flights;
  }

  /** Whether similar questions are found, as soon as the embedding model is there. */
  get isSemantic(): boolean {
    return this.#options.embedder !== null;
  }

  /** Whether questions can be embedded and told apart; null: only equal ones are answered. */
  get embedding(): EmbeddingState | null {
    return this.#embedding?.state ?? null;
  }

  /** Whether the store answered when it was last asked, which it is every second. */
  get isStoreUp(): boolean {
    return this.#isStoreUp;
  }

  /** Milliseconds that requests may wait before categories relax. */
  get targetMilliseconds(): number {
    return this.#options.settings().cacheTargetQueueMs;
  }

  /**
   * Somebody was given a wrong answer: that counts, once, and the entry is taken out.
   * @param tenant whose it has to be; null: anybody's
   * @returns whether there is such an entry, or was when it was reported before
   * @throws StoreUnavailable where it is not known, or is still in the store
   */
  async report(id: string, tenant: string | null): Promise<boolean> {
    const head = this.#reported.has(id) ? null : await this.cache.head(id, tenant);
    // Somebody else may have reported it meanwhile.
    const owner = this.#reported.get(id) ?? head?.tenant;
    if (owner === undefined || (tenant !== null && owner !== tenant)) return false;
    if (head !== null && !this.#reported.has(id)) {
      this.#reported.set(id, owner);
      const { name } = this.cache.categoryOf(head);
      this.cache.economics.reported({ tenant: head.tenant, category: name });
      this.#options.metrics.reported(name);
    }
    await this.cache.kept.remove([id], 'reported');
    return true;
  }

  /** Answers that were given again lately, the newest first. @param tenant whose; null: all tenants' */
  hits(tenant: string | null, limit: number): readonly RememberedHit[] {
    const hits = this.#hits.newest();
    return hits.filter((hit) => tenant === null || hit.tenant === tenant).slice(0, limit);
  }

  /** Who has said what holds of a category. */
  sourceOf(name: string): 'api' | 'file' | 'built-in' {
    const { stored, settings } = this.#options;
    if (Object.hasOwn(stored.values, name)) return 'api';
    return Object.hasOwn(settings().cacheCategories, name) ? 'file' : 'built-in';
  }

  /** Sets what is other in a category than in the configuration, or makes one. @returns false where there are too many */
  async setCategory(name: string, values: CategoryValues, actor: string): Promise<boolean> {
    const isSet = await this.#options.stored.set(name, values, actor);
    if (isSet) this.configure();
    return isSet;
  }

  /** Has a category as the configuration has it, or none. @returns false where nothing was set */
  async resetCategory(name: string, actor: string): Promise<boolean> {
    const isReset = await this.#options.stored.remove(name, actor);
    if (isReset) this.configure();
    return isReset;
  }

  /** Takes what other servers' administrators have set. */
  async followCategories(): Promise<void> {
    if (await this.#options.stored.follow()) this.configure();
  }

  /**
   * The entries nearest to a question, and whether and why they would answer it.
   * @param asked `category`: as a request names it; null: it is found out
   * @returns null where nobody can tell what category it is of, or nothing similar is found; and whether the question is too long
   * @throws EngineError, StoreUnavailable
   */
  async explain(asked: {
    readonly text: string;
    readonly category: string | null;
    readonly tenant: string | null;
    readonly model: string | null;
  }) {
    const { embedder } = this.#options;
    const embedding = await this.#embedded(asked.text);
    if (embedding === null || embedder?.model == null) return null;
    const { categories } = this;
    if (asked.category === null && !categories.isReady) return null;
    const category =
      asked.category === null ? categories.of(embedding.vector) : categories.get(asked.category);
    const controls = { ...readControls({}, () => undefined), category: asked.category };
    const effective = categories.effective(category);
    const isCut = embedding.tokenIds.length >= embedder.model.maxTokens;
    return {
      category,
      isCut,
      threshold: this.cache.review.leastSimilarity(effective),
      strictness: effective.strictness,
      candidates: isCut ? [] : await this.cache.review.explain({ ...asked, embedding, category, controls }),
    };
  }

  /** Which category a question would be of; null: nobody can tell. @throws EngineError */
  async classify(text: string): Promise<ReturnType<CategoryTable['classify']>> {
    const embedding = await this.#embedded(text);
    return embedding === null || !this.categories.isReady ? null : this.categories.classify(embedding.vector);
  }

  /** Beside requests, when they leave the embedding model time. null: it cannot be used. @throws EngineError */
  async #embedded(text: string): Promise<Embedding | null> {
    const { embedder, verifier } = this.#options;
    await this.#embedding?.tried;
    if (embedder?.model == null) return null;
    const signature = verifier !== null;
    const [embedding] = await embedder.embed({
      inputs: [text],
      truncate: 'model',
      background: true,
      signature,
    });
    return embedding ?? null;
  }

  #remember({ question: { text, tenant }, ...given }: GivenAnswer): void {
    const { clock, settings } = this.#options;
    const question =
      settings().logPrompts === 'yes' ? (text?.slice(0, MOST_QUESTION_CHARACTERS) ?? null) : null;
    this.#hits.push({ ...given, tenant, question, at: clock.now() });
  }

  /** Takes other categories. What was kept of those that are off now goes. */
  configure(): void {
    const { settings, stored } = this.#options;
    this.categories.configure(settings().cacheCategories, stored.values);
    this.#embedding?.update();
    // What fails is done by the next one.
    this.#sweep().catch((error: unknown) => this.#waits(error));
  }

  async close(): Promise<void> {
    this.#embedding?.close();
    for (const timer of this.#timers) clearInterval(timer);
    await this.#writeHits().catch(() => {});
    await this.#options.documents.close();
  }

  /** Takes in what is in the store, and lets go of what was here before and is not there: a purge of which nobody told. */
  async #restore(): Promise<void> {
    const { documents, clock, logger } = this.#options;
    const begun = clock.now();
    const stored = new Set<string>();
    try {
      await this.cache.kept.reading(async (hasLeft) => {
        // Before the heads: a change while they are read is told again.
        this.#sequence = await documents.lastSequence();
        let cursor: string | null = null;
        do {
          const page = await documents.heads(cursor, PAGE);
          for (const { id } of page.heads) stored.add(id);
          await this.#take(page.heads.filter(({ id }) => !hasLeft(id)));
          cursor = page.cursor;
        } while (cursor !== null);
      });
      // What was made just now may not be written yet.
      await this.cache.kept.keepOnly(
        ({ id, createdAt }) => stored.has(id) || createdAt >= begun - UNWRITTEN_MILLISECONDS,
      );
    } catch (error) {
      logger.warn({ err: error }, 'the answer cache begins empty: its store cannot be read');
    }
  }

  /** Takes in what was computed as it is here. What has expired, or is off by now, leaves the store. */
  async #take(heads: readonly StoredHead[]): Promise<void> {
    const own = heads.filter(({ server }) => server === this.#options.server);
    const gone = own.filter((head) => !this.cache.kept.restore(head));
    if (gone.length === 0) return;
    await this.#options.documents
      .remove(gone.map(({ id }) => id))
      .catch((error: unknown) => this.#waits(error));
  }

  /** What other servers of the same store did. */
  async #follow(): Promise<void> {
    const { kept } = this.cache;
    const followed = () =>
      kept.reading(async (hasLeft) => {
        const changes = await this.#changes();
        for (const change of changes ?? []) {
          if (change.kind === 'remove') kept.dropped(change.id);
          else if (!hasLeft(change.head.id)) await this.#take([change.head]);
          this.#sequence = change.sequence;
        }
        return changes;
      });
    for (;;) {
      const changes = await followed();
      if (changes === null) return this.#restore();
      if (changes.length < PAGE) return;
    }
  }

  async #changes() {
    try {
      const changes = await this.#options.documents.changes(this.#sequence, PAGE);
      this.#isStoreUp = true;
      return changes;
    } catch (error) {
      this.#isStoreUp = false;
      throw error;
    }
  }

  /**
   * Takes out what was answered by adapters that are gone, or by versions that their names do not stand for any more. Nobody would find
   * it: it would only take room.
   */
  async #dropOldVersions(): Promise<void> {
    const backend = this.#options.backend();
    if (!backend.ready || this.cache.size === 0) return;
    const served = new Set((await backend.models(OPERATOR)).map(({ root }) => root));
    for (const { model, root } of this.cache.kept.versions()) {
      const parts = partsOfRoot(root);
      const isServed =
        parts === null
          ? (await backend.find(model, OPERATOR))?.root === root
          : parts.every((digest) => served.has(digest));
      if (isServed) continue;
      const isOutdated = (entry: Version) => entry.model === model && entry.root === root;
      await this.cache.kept.removeThose(isOutdated, 'outdated');
    }
  }

  async #writeHits(): Promise<void> {
    const hits = this.cache.kept.takeHits();
    if (hits.size > 0) await this.#options.documents.addHits(hits);
  }

  async #sweep(): Promise<void> {
    await this.cache.kept.sweep();
    for (const { name, enabled } of this.categories.all()) if (!enabled) await this.#dropDisabled(name);
    // What is stale, or kept for longer under load, is past its own time and still used.
    const beyond = [...this.categories.all()].map(
      ({ ttlSeconds, staleSeconds, adaptive }) =>
        staleSeconds + Math.max(0, (adaptive?.mostTtlSeconds ?? 0) - ttlSeconds),
    );
    await this.#options.documents.sweep(this.#options.clock.now() - Math.max(...beyond) * 1000);
  }

  /** Has nothing of a category left in the store that was kept before it was switched off. */
  async #dropDisabled(category: string): Promise<void> {
    const { documents, server } = this.#options;
    for (let before: ListedHead | undefined; ; ) {
      const page = { limit: PAGE, ...(before === undefined ? {} : { before }) };
      const heads = await documents.find({ category }, page);
      const own = heads.flatMap((head) => (head.server === server ? [head.id] : []));
      if (own.length > 0) await this.cache.kept.remove(own, 'disabled');
      before = heads.at(-1);
      if (heads.length < PAGE) return;
    }
  }

  #waits(error: unknown): void {
    this.#options.logger.debug({ err: error }, 'the answer cache waits for its store');
  }

  /** One at a time; what fails is tried again the next time, and told by the store. */
  #every(milliseconds: number, work: () => Promise<void>): void {
    let isRunning = false;
    const timer = setInterval(() => {
      if (isRunning) return;
      isRunning = true;
      work()
        .catch((error: unknown) => this.#waits(error))
        .finally(() => {
          isRunning = false;
        });
    }, milliseconds);
    this.#timers.push(timer.unref());
  }
}
