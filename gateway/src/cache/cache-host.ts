import type { Embedder, EncoderInfo } from '@polylora/engine';
import { LRUCache } from 'lru-cache';
import { OPERATOR } from '../access/access.ts';
import type { Backend, BackendModel } from '../backends/backend.ts';
import type { Logger } from '../logging.ts';
import type { JsonObject } from '../openai/fields.ts';
import { invalidValue, quoted } from '../openai/fields.ts';
import type { SteadyClock } from '../steady-clock.ts';
import { grantNames } from '../tenants/model-grants.ts';
import { AnswerCache, partsOfRoot } from './answer-cache.ts';
import type { CacheMetrics } from './cache-metrics.ts';
import { type CachedAnswer, CachedGeneration, type CachedRequest } from './cached-generation.ts';
import type { CategoryValues } from './categories/category.ts';
import { CategoryTable } from './categories/category-table.ts';
import { type CacheControls, readControls } from './controls.ts';
import type { DocumentStore } from './documents/document-store.ts';
import { type EmbeddingState, EmbeddingUpkeep } from './embedding-upkeep.ts';
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
  readonly cacheTargetQueueMs: number;
}

export interface CacheHostOptions {
  readonly documents: DocumentStore;
  /** Makes the index when the width of the embedding model's vectors is known. */
  readonly createIndex: (width: number) => VectorIndex;
  /** null: only equal questions are answered. */
  readonly embedder: Embedder | null;
  readonly verifier: Verifier | null;
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
  /** Whose entries were reported, by id: they are gone, and whoever says it again is told the same. */
  readonly #reported = new LRUCache<string, string>({ max: MOST_REPORTED });

  private constructor(options: CacheHostOptions) {
    const { documents, createIndex, embedder, verifier, exactBytes, lookupMilliseconds, server } = options;
    const { settings, clock, metrics, logger } = options;
    this.#options = options;
    this.startedAt = clock.now();
    this.categories = new CategoryTable(settings().cacheCategories);
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
      this.cache.setVectors({ index: createIndex(width), encoder: digest });
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
      onSent: () => this.load.sent(),
    });
  }

  /** Opens it with what is in the store. The embedding model may still load: until then equal questions are answered. */
  static async open(options: CacheHostOptions): Promise<CacheHost> {
    const host = new CacheHost(options);
    await host.#restore();
    host.#embedding?.update();
    host.#every(LOAD_MILLISECONDS, async () => host.load.step());
    host.#every(CHANGES_MILLISECONDS, () => host.#follow());
    host.#every(HITS_MILLISECONDS, () => host.#writeHits());
    host.#every(MODELS_MILLISECONDS, () => host.#dropOldVersions());
    host.#every(SWEEP_MILLISECONDS, () => host.#sweep());
    return host;
  }

  /** @throws ApiError */
  answer(request: CachedRequest): Promise<CachedAnswer> {
    return this.#generation.answer(request);
  }

  /** What a request says of the cache; the model's category where it says none. @throws ApiError */
  controls(
    body: JsonObject,
    model: BackendModel,
    header: (name: string) => string | undefined,
  ): CacheControls {
    const controls = readControls(body, header);
    if (controls.category !== null) {
      if (this.categories.has(controls.category)) return controls;
      const known = this.categories.names.join(', ');
      throw invalidValue('cache.category', `there is no category '${quoted(controls.category)}': ${known}.`);
    }
    const { cacheModelCategories } = this.#options.settings();
    const name = grantNames(model).findLast((each) => Object.hasOwn(cacheModelCategories, each));
    const category = name === undefined ? null : (cacheModelCategories[name] ?? null);
    return category === null ? controls : { ...controls, category };
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
   * @throws StoreUnavailable where it is still in the store
   */
  async report(id: string, tenant: string | null): Promise<boolean> {
    const entry = this.cache.entry(id);
    const reported = this.#reported.get(id);
    const owner = entry?.tenant ?? reported;
    if (owner === undefined || (tenant !== null && owner !== tenant)) return false;
    if (entry !== null && reported === undefined) {
      this.#reported.set(id, owner);
      const { name } = this.cache.categoryOf(entry);
      this.quality?.report(name);
      this.#options.metrics.reported(name);
    }
    await this.cache.remove([id], 'reported');
    return true;
  }

  /** Which category a question would be of; null: nobody can tell. @throws EngineError */
  async classify(text: string): Promise<ReturnType<CategoryTable['classify']>> {
    const { embedder } = this.#options;
    if (embedder === null) return null;
    await this.#embedding?.tried;
    if (!this.categories.isReady) return null;
    const asked = { inputs: [text], truncate: 'model', tokenStates: false, background: true } as const;
    const [embedding] = await embedder.embed(asked);
    return embedding === undefined ? null : this.categories.classify(embedding.vector);
  }

  /** Takes other categories. */
  configure(): void {
    this.categories.configure(this.#options.settings().cacheCategories);
    this.#embedding?.update();
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
      // Before the heads: a change while they are read is told again.
      this.#sequence = await documents.lastSequence();
      let cursor: string | null = null;
      do {
        const page = await documents.heads(cursor, PAGE);
        for (const head of page.heads) {
          stored.add(head.id);
          this.cache.restore(head);
        }
        cursor = page.cursor;
      } while (cursor !== null);
      // What was made just now may not be written yet.
      const old = [...this.cache.entries()].filter(
        ({ id, createdAt }) => !stored.has(id) && createdAt < begun - UNWRITTEN_MILLISECONDS,
      );
      this.cache.dropped(old.map(({ id }) => id));
    } catch (error) {
      logger.warn({ err: error }, 'the answer cache begins empty: its store cannot be read');
    }
  }

  /** What other servers of the same store did. */
  async #follow(): Promise<void> {
    for (;;) {
      const changes = await this.#changes();
      if (changes === null) return this.#restore();
      for (const change of changes) {
        if (change.kind === 'put') this.cache.restore(change.head);
        else this.cache.dropped([change.id]);
        this.#sequence = change.sequence;
      }
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
    const versions = new Map<
      string,
      { readonly model: string; readonly root: string; readonly ids: string[] }
    >();
    for (const { id, model, root } of this.cache.entries()) {
      const key = JSON.stringify([model, root]);
      const version = versions.get(key);
      if (version === undefined) versions.set(key, { model, root, ids: [id] });
      else version.ids.push(id);
    }
    const served = new Set((await backend.models(OPERATOR)).map(({ root }) => root));
    for (const { model, root, ids } of versions.values()) {
      const parts = partsOfRoot(root);
      const isServed =
        parts === null
          ? (await backend.find(model, OPERATOR))?.root === root
          : parts.every((digest) => served.has(digest));
      if (!isServed) await this.cache.remove(ids, 'outdated');
    }
  }

  async #writeHits(): Promise<void> {
    const hits = this.cache.takeHits();
    if (hits.size > 0) await this.#options.documents.addHits(hits);
  }

  async #sweep(): Promise<void> {
    this.cache.sweep();
    // What is stale, or kept for longer under load, is past its own time and still used.
    const beyond = [...this.categories.all()].map(
      ({ ttlSeconds, staleSeconds, adaptive }) =>
        staleSeconds + Math.max(0, (adaptive?.mostTtlSeconds ?? 0) - ttlSeconds),
    );
    await this.#options.documents.sweep(this.#options.clock.now() - Math.max(...beyond) * 1000);
  }

  /** One at a time; what fails is tried again the next time, and told by the store. */
  #every(milliseconds: number, work: () => Promise<void>): void {
    let isRunning = false;
    const timer = setInterval(() => {
      if (isRunning) return;
      isRunning = true;
      work()
        .catch((error: unknown) =>
          this.#options.logger.debug({ err: error }, 'the answer cache waits for its store'),
        )
        .finally(() => {
          isRunning = false;
        });
    }, milliseconds);
    this.#timers.push(timer.unref());
  }
}
