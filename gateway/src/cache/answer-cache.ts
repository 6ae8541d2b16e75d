import { randomUUID } from 'node:crypto';
import type { Embedding } from '@polylora/engine';
import type { BackendModel } from '../backends/backend.ts';
import type { Logger } from '../logging.ts';
import { Ring } from '../ring.ts';
import type { CacheMetrics } from './cache-metrics.ts';
import type { Category } from './categories/category.ts';
import type { CategoryTable } from './categories/category-table.ts';
import type { CacheControls } from './controls.ts';
import type { DocumentBody, DocumentStore, EntryFilter, ListedHead } from './documents/document-store.ts';
import { Economics } from './economics.ts';
import { Entries, type Entry, isEntryId } from './entries.ts';
import type { CacheDocument, StoredAnswer } from './entry.ts';
import { searchEntries } from './entry-search.ts';
import { ExactAnswers } from './exact-answers.ts';
import { freshSeconds, staleSeconds } from './freshness.ts';
import { type Amount, KeptEntries, type Vectors } from './kept-entries.ts';
import { EQUAL, isVerified, leastSimilarity, type Needed, neededOf } from './likeness.ts';
import { type Lookup, LookupReview, MOST_CANDIDATES } from './lookup-review.ts';
import type { BypassReason, Question } from './question.ts';
import type { QuestionEmbedder, QuestionEmbedding } from './question-embedder.ts';
import { tokensOf } from './stored-answer.ts';
import type { ModelJudge } from './verification/model-judge.ts';
import type { Probe, Verifier } from './verification/verifier.ts';

const MIXTURE = 'mixture:';
/** Lookups of similar questions that are remembered, to be looked at again: some kilobytes each. */
const MOST_LOOKUPS = 500;
/** What asking the base model may take for a question, all candidates together; then those that are left do not count as the same. */
const MOST_JUDGING_MILLISECONDS = 2_000;

/** An answer that is there. */
export interface Hit {
  readonly kind: 'hit';
  readonly level: 'exact' | 'similar';
  readonly entry: Entry;
  readonly answer: StoredAnswer;
  /** 1 for the same question. */
  readonly similarity: number;
  /** That it asks for the same, as verification estimates it; null where that was not asked. */
  readonly probability: number | null;
  readonly needed: Needed;
  readonly ageSeconds: number;
  /** Past its time: a new one is to be made. */
  readonly isStale: boolean;
}

/** None is there, and the one that is made may be kept. */
export interface Miss {
  readonly kind: 'miss';
  readonly category: Category;
  /** null where the question has none, or not in time. */
  readonly embedding: Embedding | null;
}

export interface Bypass {
  readonly kind: 'bypass';
  readonly reason: BypassReason;
  readonly category: string | null;
}

export type Found = Hit | Miss | Bypass;

export interface AnswerCacheOptions {
  readonly categories: CategoryTable;
  readonly documents: DocumentStore;
  /** null: only the same question is answered. */
  readonly embedder: QuestionEmbedder | null;
  readonly verifier: Verifier | null;
  readonly judge: ModelJudge;
  /** Answers in memory, about. */
  readonly exactBytes: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly metrics: CacheMetrics;
  readonly logger: Logger;
}

/** Answers that were given before, for whoever asks the same, or nearly the same, of the same model in the same circumstances. */
export class AnswerCache {
  readonly economics = new Economics();
  readonly #options: AnswerCacheOptions;
  readonly #entries = new Entries();
  readonly #answers: ExactAnswers;
  /** How entries come and go. */
  readonly kept: KeptEntries;
  /** What would be found, and why. */
  readonly review: LookupReview;
  readonly #lookups = new Ring<Lookup>(MOST_LOOKUPS);

  constructor(options: AnswerCacheOptions) {
    this.#options = options;
    this.#answers = new ExactAnswers(options.exactBytes);
    this.kept = new KeptEntries({ ...options, entries: this.#entries, answers: this.#answers });
    this.review = new LookupReview({
      ...options,
      entries: this.#entries,
      kept: this.kept,
      lookups: this.#lookups,
      isAcceptable: (id, controls) => this.#isAcceptable(id, controls),
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Answers in memory. */
  get answers(): Amount {
    return { entries: this.#answers.size, bytes: this.#answers.bytes };
  }

  /** Questions that similar ones are found by; null as long as the embedding model is not known. */
  get vectors(): Amount | null {
    if (this.#vectors === null) return null;
    const { size, bytes } = this.#vectors.index;
    return { entries: size, bytes };
  }

  /** @param tenant null: all together */
  usage(category: string, tenant: string | null = null): Amount {
    return this.kept.usage(category, tenant);
  }

  entry(id: string): Entry | null {
    return this.#entries.get(id);
  }

  /** What an entry is treated as now. */
  categoryOf({ category }: Pick<Entry, 'category'>): Category {
    return this.#options.categories.get(category);
  }

  get #vectors(): Vectors | null {
    return this.kept.vectors;
  }

  /** Looks for an answer. Never throws for what happens to the cache: it then has none. */
  async find(question: Question, controls: CacheControls): Promise<Found> {
    const started = performance.now();
    const found = await this.#find(question, controls);
    this.#told(question, controls, found, (performance.now() - started) / 1000);
    if (found.kind === 'hit') this.kept.used(found.entry);
    return found;
  }

  /** What keeping an answer needs, without looking for one. */
  async embedded(question: Question, controls: CacheControls): Promise<Miss | Bypass> {
    const found = await this.#find(question, { ...controls, reads: false });
    if (found.kind === 'hit') throw new Error('found what was not looked for');
    return found;
  }

  /**
   * Keeps an answer. It can be found at once, and the store has it when this resolves, if the store is there.
   * @param id a new one
   * @returns null where its category is not cached any more
   */
  async keep(
    question: Question,
    controls: CacheControls,
    { category, embedding }: Pick<Miss, 'category' | 'embedding'>,
    answer: StoredAnswer,
    computeSeconds: number,
    id: string = randomUUID(),
  ): Promise<Entry | null> {
    if (!this.#options.categories.get(category.name).enabled) return null;
    const started = performance.now();
    const document = {
      ...this.#documentOf(question, controls, category, embedding, answer, computeSeconds),
      id,
    };
    // A newer answer to the same request takes the old one's place.
    const old = this.#entries.exact(question.exactKey);
    if (old !== null) this.kept.forget([old.id], 'replaced');
    const entry = this.kept.take(document, 0);
    this.#remember(entry, answer);
    const account = { tenant: question.tenant, category: category.name };
    this.economics.stored(account, document, (performance.now() - started) / 1000);
    if (this.#entries.get(entry.id) !== null)
      await this.kept.tried(() => this.#options.documents.put(document));
    return entry;
  }

  /** An entry, here or in the store. @param tenant whose it has to be; null: anybody's. @throws StoreUnavailable */
  async head(id: string, tenant: string | null): Promise<ListedHead | null> {
    if (!isEntryId(id)) return null;
    const entry = this.#entries.get(id);
    if (entry !== null) return tenant === null || entry.tenant === tenant ? entry : null;
    const filter = tenant === null ? { id } : { id, tenant };
    const [found] = await this.#options.documents.find(filter, { limit: 1 });
    return found ?? null;
  }

  /** Entries that match, in the store, newest first. @throws StoreUnavailable */
  list(filter: EntryFilter, page: Parameters<DocumentStore['find']>[1]) {
    return this.#options.documents.find(filter, page);
  }

  /** Entries that match and were asked with these words, as `searchEntries` looks for them. @throws StoreUnavailable */
  search(filter: EntryFilter, words: readonly string[], page: Parameters<DocumentStore['find']>[1]) {
    return searchEntries(this.#options.documents, filter, words, page);
  }

  /** The questions of entries, as they were asked, of those that are there; none where the store is away. */
  async questionsOf(ids: readonly string[]): Promise<ReadonlyMap<string, string | null>> {
    const bodies = await this.kept.tried(() => this.#options.documents.bodies([...new Set(ids)]));
    return new Map([...(bodies ?? [])].map(([id, { question }]) => [id, question]));
  }

  /** The question of an entry, as it was asked; null where it has none, or is gone. @throws StoreUnavailable */
  async questionOf(id: string): Promise<string | null> {
    return (await this.#options.documents.get(id))?.question ?? null;
  }

  async #find(question: Question, controls: CacheControls): Promise<Found> {
    const { categories } = this.#options;
    const named = controls.category === null ? null : categories.get(controls.category);
    if (named !== null) {
      const refused = refusal(question, named);
      if (refused !== null) return refused;
    }
    if (controls.reads) {
      const same = await this.#exact(question, controls);
      if (same !== null) return same;
    }
    const verifier = question.mayBeSimilar ? this.#options.verifier : null;
    const embedded = Promise.all([
      this.#embed(question.text, { signature: verifier !== null }),
      named === null ? this.#embed(question.earlier, { signature: false }) : null,
    ]);
    const isSought = controls.reads && this.#vectors !== null;
    // Meanwhile: here there is nothing else to do.
    const probe = isSought && question.text !== null ? (verifier?.read(question.text) ?? null) : null;
    const [embedding, earlier] = await embedded;
    const isRead = embedding !== null && (question.earlier === null || earlier !== null);
    const isKnown = named !== null || (isRead && categories.isReady);
    if (!isKnown && this.#options.embedder !== null)
      return { kind: 'bypass', reason: 'unclassified', category: null };
    const category = named ?? this.#classified(embedding, earlier);
    const refused = refusal(question, category);
    if (refused !== null) return refused;
    // What was cut is not what was asked.
    const whole = !question.mayBeSimilar || embedding?.isCut ? null : embedding;
    if (controls.reads && whole !== null) {
      const similar = await this.#similar(question, controls, category, whole, probe);
      if (similar !== null) return similar;
    }
    return { kind: 'miss', category, embedding: whole };
  }

  /** What was said before may be of what is not cached, whatever the last message is about. */
  #classified(embedding: Embedding | null, earlier: Embedding | null): Category {
    const { categories } = this.#options;
    const before = earlier === null ? null : categories.of(earlier.vector);
    return before?.enabled === false ? before : categories.of(embedding?.vector ?? null);
  }

  async #exact(question: Question, controls: CacheControls): Promise<Hit | Bypass | null> {
    const entry = this.#entries.exact(question.exactKey);
    if (entry === null || entry.partition !== question.partition) return null;
    const category = this.categoryOf(entry);
    if (controls.category !== null && category.name !== controls.category) return null;
    const refused = refusal(question, category);
    if (refused !== null) return refused;
    const age = this.#age(entry, controls);
    if (age === null) return null;
    const answer = this.#answers.get(entry.id) ?? (await this.#read([entry])).get(entry.id)?.answer;
    if (answer === undefined) return null;
    this.#remember(entry, answer);
    return {
      kind: 'hit',
      level: 'exact',
      entry,
      answer,
      similarity: 1,
      probability: null,
      needed: EQUAL,
      ...age,
    };
  }

  async #similar(
    question: Question,
    controls: CacheControls,
    category: Category,
    embedding: Embedding,
    probe: Probe | null,
  ): Promise<Hit | null> {
    const { now, categories } = this.#options;
    const effective = categories.effective(category);
    const hasVerifier = this.#options.verifier !== null;
    const threshold = Math.max(leastSimilarity(effective, hasVerifier), controls.similarityThreshold);
    // 1 asks for the same question, which an embedding cannot tell.
    if (this.#vectors === null || threshold >= 1) return null;
    // What must not be kept is not remembered either.
    if (controls.stores)
      this.#lookups.push({ at: now(), question, controls, category: category.name, embedding });
    const candidates = this.#vectors.index.search(question.partition, embedding.vector, {
      threshold,
      k: MOST_CANDIDATES,
      now: now(),
      accept: (id) => this.#isAcceptable(id, controls),
    });
    const near = candidates.flatMap(({ id, similarity }) => {
      const entry = this.#entries.get(id);
      if (entry === null) return [];
      const own = categories.effective(categories.get(entry.category));
      const needed = neededOf(effective, own, hasVerifier, controls.similarityThreshold);
      return similarity < needed.similarity ? [] : [{ entry, needed, similarity }];
    });
    const documents = await this.#read(near.map(({ entry }) => entry));
    const judgedUntil = performance.now() + MOST_JUDGING_MILLISECONDS;
    for (const { entry, needed, similarity } of near) {
      const document = documents.get(entry.id);
      // It may have been taken out meanwhile.
      const age = this.#entries.get(entry.id) === null ? null : this.#age(entry, controls);
      if (document === undefined || age === null) continue;
      const asksModel = category.askModel || this.categoryOf(entry).askModel;
      const probability = this.#probability(probe, embedding, document, similarity, needed);
      const isSame =
        isVerified(probability, needed) &&
        (!asksModel || (await this.#isJudgedSame(question, document, judgedUntil)));
      if (!isSame) {
        this.economics.rejected({ tenant: question.tenant, category: category.name });
        continue;
      }
      this.#remember(entry, document.answer);
      const { answer } = document;
      return { kind: 'hit', level: 'similar', entry, answer, similarity, probability, needed, ...age };
    }
    return null;
  }

  /** null where verification is not asked, or cannot tell. */
  #probability(
    probe: Probe | null,
    embedding: Embedding,
    { question, signature }: DocumentBody,
    similarity: number,
    needed: Needed,
  ): number | null {
    const { verifier } = this.#options;
    if (needed.strictness === 0 || verifier === null || probe === null || question === null) return null;
    const started = performance.now();
    const candidate = { text: question, signature };
    const probability = verifier.verify(probe, embedding.signature, candidate, similarity);
    const seconds = (performance.now() - started) / 1000;
    this.#options.metrics.verified('verifier', isVerified(probability, needed), seconds);
    return probability;
  }

  /** @param until when it has to be known, by `performance.now()` */
  async #isJudgedSame(asked: Question, { question }: DocumentBody, until: number): Promise<boolean> {
    const { text, tenant, weight, cacheSalt } = asked;
    if (text === null || question === null) return false;
    const { judge, metrics } = this.#options;
    const started = performance.now();
    const isSame = await judge.isSame(question, text, { tenant, weight, cacheSalt }, until - started);
    metrics.verified('model', isSame, (performance.now() - started) / 1000);
    return isSame;
  }

  async #embed(text: string | null, options: { signature: boolean }): Promise<QuestionEmbedding | null> {
    const { embedder, metrics } = this.#options;
    if (embedder === null || text === null) return null;
    const started = performance.now();
    const embedding = await embedder.embed(text, options);
    metrics.embedded(embedding !== null, (performance.now() - started) / 1000);
    return embedding;
  }

  /** Asked while searching, before any document is read. */
  #isAcceptable(id: string, controls: CacheControls): boolean {
    const entry = this.#entries.get(id);
    if (entry === null) return false;
    const { name, enabled } = this.categoryOf(entry);
    if (!enabled || (controls.category !== null && name !== controls.category)) return false;
    return this.#age(entry, controls) !== null;
  }

  /** null: it is too old. */
  #age(entry: Entry, { maxAgeSeconds }: CacheControls): Pick<Hit, 'ageSeconds' | 'isStale'> | null {
    const { categories, now } = this.#options;
    const category = categories.get(entry.category);
    const ageSeconds = Math.max(0, now() - entry.createdAt) / 1000;
    if (maxAgeSeconds !== null && ageSeconds > maxAgeSeconds) return null;
    const fresh = freshSeconds(entry, category, categories.effective(category).ttlSeconds);
    if (ageSeconds >= fresh + staleSeconds(entry, category)) return null;
    return { ageSeconds, isStale: ageSeconds >= fresh };
  }

  #documentOf(
    { server, tenant, partition, exactKey, model, text }: Question,
    { ttlSeconds, tags }: CacheControls,
    category: Category,
    embedding: Embedding | null,
    answer: StoredAnswer,
    computeSeconds: number,
  ): Omit<CacheDocument, 'id'> {
    const createdAt = this.#options.now();
    const ttl = Math.min(ttlSeconds ?? category.ttlSeconds, category.ttlSeconds);
    const signature = embedding?.signature ?? null;
    const vector = this.#vectors === null ? null : (embedding?.vector ?? null);
    const bytes =
      Buffer.byteLength(JSON.stringify(answer)) +
      Buffer.byteLength(text ?? '') +
      (vector?.byteLength ?? 0) +
      (signature?.byteLength ?? 0);
    const { promptTokens, completionTokens } = tokensOf(answer);
    return {
      ...{ server, partition, exactKey, tenant, model: model.id, root: rootOf(model) },
      ...{ category: category.name, tags, createdAt, expiresAt: createdAt + ttl * 1000, bytes },
      ...{ computeSeconds, promptTokens, completionTokens },
      ...{ question: text, vector, encoder: this.#vectors?.encoder ?? null, signature, answer },
    };
  }

  /** Writes down what was found. */
  #told({ tenant }: Question, { reads }: CacheControls, found: Found, seconds: number): void {
    const { metrics } = this.#options;
    if (found.kind === 'hit') {
      const { level, entry } = found;
      const category = this.categoryOf(entry).name;
      this.economics.hit({ tenant, category }, level, entry, seconds);
      metrics.looked(level === 'exact' ? 'hit_exact' : 'hit_similar', category, seconds);
    } else if (found.kind === 'miss' && reads) {
      const category = found.category.name;
      this.economics.miss({ tenant, category }, seconds);
      metrics.looked('miss', category, seconds);
    } else {
      // An answer that was not looked for is none that was not there.
      const category = found.kind === 'miss' ? found.category.name : found.category;
      if (category !== null) this.economics.bypass({ tenant, category }, seconds);
      metrics.looked('bypass', category, seconds);
    }
  }

  /** In memory, too, if its entry was not taken out meanwhile: nobody else would take out the answer. */
  #remember({ id }: Entry, answer: StoredAnswer): void {
    if (this.#entries.get(id) !== null) this.#answers.set(id, answer);
  }

  /** By id, what of them is in the store. */
  async #read(entries: readonly Entry[]): Promise<ReadonlyMap<string, DocumentBody>> {
    const ids = entries.map(({ id }) => id);
    if (ids.length === 0) return new Map();
    const documents = await this.kept.tried(() => this.#options.documents.bodies(ids));
    if (documents === undefined) return new Map();
    // Somebody else has removed the others.
    for (const id of ids) if (!documents.has(id)) this.kept.dropped(id);
    return documents;
  }
}

/** What of adapters an answer was made with. A mixture has no name of its own: it is there as long as all of its parts are. */
export function rootOf({ root, mixture }: Pick<BackendModel, 'root' | 'mixture'>): string {
  return mixture === null ? root : `${MIXTURE}${mixture.map(({ digest }) => digest).join('+')}`;
}

/** @returns the digests of a mixture's parts; null where it is none */
export function partsOfRoot(root: string): readonly string[] | null {
  return root.startsWith(MIXTURE) ? root.slice(MIXTURE.length).split('+') : null;
}

/** Why a category has nothing to do with a question; null: it has. */
function refusal(question: Question, category: Category): Bypass | null {
  const because = (reason: BypassReason): Bypass => ({ kind: 'bypass', reason, category: category.name });
  if (!category.enabled) return because('category');
  if (question.temperature > category.maxTemperature) return because('temperature');
  if (question.isMultiTurn && !category.multiTurn) return because('multi-turn');
  return null;
}
