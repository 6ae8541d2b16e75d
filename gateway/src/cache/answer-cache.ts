import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Embedding } from '@polylora/engine';
import type { BackendModel } from '../backends/backend.ts';
import type { Logger } from '../logging.ts';
import type { CacheMetrics, RemovalReason } from './cache-metrics.ts';
import type { Category } from './categories/category.ts';
import type { CategoryTable, Effective } from './categories/category-table.ts';
import type { CacheControls } from './controls.ts';
import type { DocumentStore, EntryFilter, ListedHead, StoredHead } from './documents/document-store.ts';
import { Economics } from './economics.ts';
import { Entries, type Entry, entryOf } from './entries.ts';
import type { CacheDocument, EntryHead, StoredAnswer } from './entry.ts';
import { ExactAnswers } from './exact-answers.ts';
import type { BypassReason, Question } from './question.ts';
import type { QuestionEmbedder } from './question-embedder.ts';
import { Quotas } from './quotas.ts';
import { tokensOf } from './stored-answer.ts';
import type { VectorIndex } from './vector-index/vector-index.ts';
import type { ModelJudge } from './verification/model-judge.ts';
import type { Verifier } from './verification/verifier.ts';

/** Questions' vectors, which only those of one embedding model can be compared with. */
export interface Vectors {
  readonly index: VectorIndex;
  /** The model's digest. */
  readonly encoder: string;
}

const MIXTURE = 'mixture:';
/** Candidates whose documents are read and verified, the nearest first. */
const MOST_CANDIDATES = 3;
/** Entries that are looked at or taken out at once: a few milliseconds. */
const TOGETHER = 1_000;
/** What an entry's id looks like: stores are asked for no other. */
const ENTRY_ID = /^[\w-]{1,64}$/;

/** An answer that is there. */
export interface Hit {
  readonly kind: 'hit';
  readonly level: 'exact' | 'similar';
  readonly entry: Entry;
  readonly answer: StoredAnswer;
  /** 1 for the same question. */
  readonly similarity: number;
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

/** How much there is of something. */
export interface Amount {
  readonly entries: number;
  readonly bytes: number;
}

/** Answers that were given before, for whoever asks the same, or nearly the same, of the same model in the same circumstances. */
export class AnswerCache {
  readonly economics = new Economics();
  readonly #options: AnswerCacheOptions;
  readonly #entries = new Entries();
  readonly #answers: ExactAnswers;
  readonly #quotas: Quotas;
  /** null as long as the embedding model is not known. */
  #vectors: Vectors | null = null;
  /** Since they were last written down. */
  readonly #hits = new Map<string, number>();

  constructor(options: AnswerCacheOptions) {
    this.#options = options;
    this.#answers = new ExactAnswers(options.exactBytes);
    this.#quotas = new Quotas((category) => options.categories.get(category));
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
    return this.#quotas.usage(category, tenant);
  }

  entry(id: string): Entry | null {
    return this.#entries.get(id);
  }

  /** What an entry is treated as now. */
  categoryOf({ category }: Pick<Entry, 'category'>): Category {
    return this.#options.categories.get(category);
  }

  /** Looks for an answer. Never throws for what happens to the cache: it then has none. */
  async find(question: Question, controls: CacheControls): Promise<Found> {
    const started = performance.now();
    const found = await this.#find(question, controls);
    this.#told(question, controls, found, (performance.now() - started) / 1000);
    if (found.kind === 'hit') this.#use(found.entry);
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
   * @returns null where its category is not cached any more
   */
  async keep(
    question: Question,
    controls: CacheControls,
    { category, embedding }: Pick<Miss, 'category' | 'embedding'>,
    answer: StoredAnswer,
    computeSeconds: number,
  ): Promise<Entry | null> {
    if (!this.#options.categories.get(category.name).enabled) return null;
    const started = performance.now();
    const document = this.#documentOf(question, controls, category, embedding, answer, computeSeconds);
    // A newer answer to the same request takes the old one's place.
    const old = this.#entries.exact(question.exactKey);
    if (old !== null) this.#forget([old.id], 'replaced');
    const entry = this.#take(document, 0);
    this.#remember(entry, answer);
    const account = { tenant: question.tenant, category: category.name };
    this.economics.stored(account, document, (performance.now() - started) / 1000);
    if (this.#entries.get(entry.id) !== null) await this.#tried(() => this.#options.documents.put(document));
    return entry;
  }

  /** An entry, here or in the store. @param tenant whose it has to be; null: anybody's. @throws StoreUnavailable */
  async head(id: string, tenant: string | null): Promise<ListedHead | null> {
    if (!ENTRY_ID.test(id)) return null;
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

  /** The question of an entry, as it was asked; null where it has none, or is gone. @throws StoreUnavailable */
  async questionOf(id: string): Promise<string | null> {
    return (await this.#options.documents.get(id))?.question ?? null;
  }

  /** Takes out entries, here and in the store. @throws StoreUnavailable */
  async remove(ids: readonly string[], reason: RemovalReason): Promise<void> {
    this.#options.metrics.removed(reason, this.#drop(ids));
    await this.#options.documents.remove(ids);
  }

  /**
   * Takes out all that match and are there now: here, and then in the store. Where the store is away what was here is gone all the same.
   * @param isDryRun only tells how much it would be
   * @throws StoreUnavailable
   */
  async purge(filter: EntryFilter, isDryRun: boolean): Promise<Amount> {
    if (filter.id !== undefined && !ENTRY_ID.test(filter.id)) return { entries: 0, bytes: 0 };
    const { documents, metrics } = this.#options;
    const known = new Set<string>();
    let [entries, bytes] = [0, 0];
    const count = (heads: readonly EntryHead[]) => {
      for (const head of heads) {
        if (known.has(head.id)) continue;
        known.add(head.id);
        entries += 1;
        bytes += head.bytes;
      }
    };
    for await (const page of this.#pages((entry) => isMeant(entry, filter))) {
      count(page);
      if (!isDryRun) metrics.removed('purged', this.#drop(page.map(({ id }) => id)));
    }
    const here = [...known];
    if (!isDryRun) {
      // Also what is not written yet, which looking through the store would not find.
      for (let start = 0; start < here.length; start += TOGETHER) {
        await documents.remove(here.slice(start, start + TOGETHER));
      }
    }
    for (let before: EntryHead | undefined; ; ) {
      const page = { limit: TOGETHER, ...(before === undefined ? {} : { before }) };
      const heads = await documents.find(filter, page);
      count(heads);
      if (!isDryRun && heads.length > 0) await documents.remove(heads.map(({ id }) => id));
      before = heads.at(-1);
      if (heads.length < TOGETHER) return { entries, bytes };
    }
  }

  /**
   * An entry of the store is there from now on, by another server or from before; told again, its vector is taken in.
   * @returns false where nobody would be given it any more
   */
  restore(head: StoredHead): boolean {
    if (!this.#isOfUse(head)) return false;
    const entry = this.#entries.get(head.id);
    if (entry !== null) this.#index(entry, head);
    else this.#take(head, head.hits);
    return true;
  }

  /** Similar questions are found from now on. */
  setVectors(vectors: Vectors): void {
    this.#vectors = vectors;
  }

  /** An entry is not in the store any more. */
  dropped(id: string): void {
    this.#drop([id]);
  }

  /** Lets go here of entries that the store has not got. */
  async keepOnly(isStored: (entry: Entry) => boolean): Promise<void> {
    for await (const page of this.#pages((entry) => !isStored(entry))) this.#drop(page.map(({ id }) => id));
  }

  /** Forgets what no category allows any more. */
  async sweep(): Promise<void> {
    const isOff = (entry: Entry) => !this.categoryOf(entry).enabled;
    await this.removeThose(isOff, 'disabled');
    await this.removeThose((entry) => !this.#isOfUse(entry), 'expired');
  }

  /** Takes out entries, here at once and in the store as far as it is there. */
  async removeThose(isGone: (entry: Entry) => boolean, reason: RemovalReason): Promise<void> {
    for await (const page of this.#pages(isGone)) {
      const ids = page.map(({ id }) => id);
      this.#options.metrics.removed(reason, this.#drop(ids));
      await this.#tried(() => this.#options.documents.remove(ids));
    }
  }

  /** What there are answers of. */
  versions() {
    return this.#entries.versions();
  }

  /** What was found since it was last asked, for the store. */
  takeHits(): ReadonlyMap<string, number> {
    const hits = new Map(this.#hits);
    this.#hits.clear();
    return hits;
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
    const embedding = await this.#embed(question);
    const isKnown = named !== null || (embedding !== null && categories.isReady);
    if (!isKnown && this.#options.embedder !== null)
      return { kind: 'bypass', reason: 'unclassified', category: null };
    const category = named ?? categories.of(embedding?.vector ?? null);
    const refused = refusal(question, category);
    if (refused !== null) return refused;
    // What was cut is not what was asked.
    const whole = embedding === null || embedding.isCut ? null : embedding;
    if (controls.reads && whole !== null) {
      const similar = await this.#similar(question, controls, category, whole);
      if (similar !== null) return similar;
    }
    return { kind: 'miss', category, embedding: whole };
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
    const answer = this.#answers.get(entry.id) ?? (await this.#read(entry))?.answer ?? null;
    if (answer === null) return null;
    this.#remember(entry, answer);
    return { kind: 'hit', level: 'exact', entry, answer, similarity: 1, ...age };
  }

  async #similar(
    question: Question,
    controls: CacheControls,
    category: Category,
    embedding: Embedding,
  ): Promise<Hit | null> {
    const { now, categories } = this.#options;
    const effective = categories.effective(category);
    const threshold = Math.max(this.#leastSimilarity(effective), controls.similarityThreshold);
    // 1 asks for the same question, which an embedding cannot tell.
    if (this.#vectors === null || threshold >= 1) return null;
    const candidates = this.#vectors.index.search(question.partition, embedding.vector, {
      threshold,
      k: MOST_CANDIDATES,
      now: now(),
      accept: (id) => this.#isAcceptable(id, controls),
    });
    for (const { id, similarity } of candidates) {
      const entry = this.#entries.get(id);
      const age = entry === null ? null : this.#age(entry, controls);
      if (entry === null || age === null) continue;
      // What is kept by a stricter category's rules is found by them.
      const own = categories.effective(categories.get(entry.category));
      if (similarity < this.#leastSimilarity(own)) continue;
      const document = await this.#read(entry);
      if (document === null) continue;
      const needed = Math.max(effective.strictness, own.strictness);
      const isSame =
        this.#isVerified(question, embedding, document, similarity, needed) &&
        (!category.askModel || (await this.#isJudgedSame(question, document)));
      if (!isSame) {
        this.economics.rejected({ tenant: question.tenant, category: category.name });
        continue;
      }
      this.#remember(entry, document.answer);
      return { kind: 'hit', level: 'similar', entry, answer: document.answer, similarity, ...age };
    }
    return null;
  }

  /** Where verification tells, the cosine need not. */
  #leastSimilarity({ similarityThreshold, verifyFrom, strictness }: Effective): number {
    return this.#options.verifier === null || strictness === 0
      ? similarityThreshold
      : Math.min(similarityThreshold, verifyFrom);
  }

  #isVerified(
    { text }: Question,
    embedding: Embedding,
    { question, signature }: CacheDocument,
    similarity: number,
    strictness: number,
  ): boolean {
    const { verifier } = this.#options;
    if (strictness === 0) return true;
    if (verifier === null || text === null || question === null || signature === null) return false;
    const started = performance.now();
    const probability = verifier.verify({ text, embedding }, { text: question, signature }, similarity);
    const isSame = probability >= strictness;
    this.#options.metrics.verified('verifier', isSame, (performance.now() - started) / 1000);
    return isSame;
  }

  async #isJudgedSame({ text }: Question, { question }: CacheDocument): Promise<boolean> {
    if (text === null || question === null) return false;
    const { judge, metrics } = this.#options;
    const started = performance.now();
    const isSame = await judge.isSame(question, text);
    metrics.verified('model', isSame, (performance.now() - started) / 1000);
    return isSame;
  }

  async #embed({ text }: Question): Promise<(Embedding & { readonly isCut: boolean }) | null> {
    const { embedder, metrics } = this.#options;
    if (embedder === null || text === null) return null;
    const started = performance.now();
    const embedding = await embedder.embed(text);
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
    if (ageSeconds >= fresh + category.staleSeconds) return null;
    return { ageSeconds, isStale: ageSeconds >= fresh };
  }

  /** Milliseconds since 1970 after which nothing can have an entry used any more. */
  #lastUse(entry: Pick<Entry, 'createdAt' | 'expiresAt' | 'category'>): number {
    const category = this.#options.categories.get(entry.category);
    const longest = Math.max(category.ttlSeconds, category.adaptive?.mostTtlSeconds ?? 0);
    const fresh = freshSeconds(entry, category, longest);
    return entry.createdAt + (fresh + category.staleSeconds) * 1000;
  }

  /** Whether an entry may still be given to somebody. */
  #isOfUse(head: Pick<Entry, 'createdAt' | 'expiresAt' | 'category'>): boolean {
    return this.categoryOf(head).enabled && this.#lastUse(head) > this.#options.now();
  }

  #documentOf(
    { server, tenant, partition, exactKey, model, text }: Question,
    { ttlSeconds, tags }: CacheControls,
    category: Category,
    embedding: Embedding | null,
    answer: StoredAnswer,
    computeSeconds: number,
  ): CacheDocument {
    const { verifier, now } = this.#options;
    const createdAt = now();
    const ttl = Math.min(ttlSeconds ?? category.ttlSeconds, category.ttlSeconds);
    const signature =
      verifier === null || embedding === null || text === null ? null : verifier.sign({ text, embedding });
    const vector = this.#vectors === null ? null : (embedding?.vector ?? null);
    const bytes =
      Buffer.byteLength(JSON.stringify(answer)) +
      Buffer.byteLength(text ?? '') +
      (vector?.byteLength ?? 0) +
      (signature?.byteLength ?? 0);
    const { promptTokens, completionTokens } = tokensOf(answer);
    return {
      id: randomUUID(),
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

  #take(head: StoredHead | CacheDocument, hits: number): Entry {
    const entry = entryOf(head, hits);
    this.#entries.add(entry);
    this.#index(entry, head);
    this.#forget(this.#quotas.add(entry.category, entry, hits), 'quota');
    return entry;
  }

  #index(entry: Entry, { vector, encoder }: Pick<StoredHead, 'vector' | 'encoder'>): void {
    if (vector === null || this.#vectors === null || encoder !== this.#vectors.encoder) return;
    const { index } = this.#vectors;
    if (index.get(entry.id) !== null) return;
    index.add(entry.partition, entry.id, vector, { expiresAt: this.#lastUse(entry), tag: 0 });
  }

  /** In memory, too, if its entry was not taken out meanwhile: nobody else would take out the answer. */
  #remember({ id }: Entry, answer: StoredAnswer): void {
    if (this.#entries.get(id) !== null) this.#answers.set(id, answer);
  }

  #use(entry: Entry): void {
    entry.hits += 1;
    this.#quotas.hit(entry.id);
    this.#hits.set(entry.id, (this.#hits.get(entry.id) ?? 0) + 1);
  }

  async #read(entry: Entry): Promise<CacheDocument | null> {
    const document = await this.#tried(() => this.#options.documents.get(entry.id));
    // Somebody else has removed it.
    if (document === null) this.#drop([entry.id]);
    return document ?? null;
  }

  /** Entries, of so many looked at together: others have their turn between. What comes and goes meanwhile may be among them. */
  async *#pages(isMeant: (entry: Entry) => boolean): AsyncGenerator<readonly Entry[]> {
    let [looked, page]: [number, Entry[]] = [0, []];
    for (const entry of this.#entries.values()) {
      if (isMeant(entry)) page.push(entry);
      looked += 1;
      if (looked % TOGETHER > 0) continue;
      if (page.length > 0) yield page;
      page = [];
      await nextTurn();
    }
    if (page.length > 0) yield page;
  }

  /** @returns how many were there */
  #drop(ids: readonly string[]): number {
    let dropped = 0;
    for (const id of ids) {
      if (this.#entries.remove(id) !== null) dropped += 1;
      this.#vectors?.index.remove(id);
      this.#quotas.remove(id);
      this.#answers.delete(id);
      this.#hits.delete(id);
    }
    return dropped;
  }

  /** Takes them out here at once, and of the store in a moment. */
  #forget(ids: readonly string[], reason: RemovalReason): void {
    if (ids.length === 0) return;
    this.#options.metrics.removed(reason, this.#drop(ids));
    void this.#tried(() => this.#options.documents.remove(ids));
  }

  /** undefined where the store is away: it has told of that itself. */
  async #tried<T>(use: () => Promise<T>): Promise<T | undefined> {
    try {
      return await use();
    } catch (error) {
      this.#options.logger.debug({ err: error }, 'the answer cache goes on without its store');
      return undefined;
    }
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

/** How long an answer is as good as new: its category's time, or its own where it was kept for less. */
function freshSeconds(
  { createdAt, expiresAt }: Pick<Entry, 'createdAt' | 'expiresAt'>,
  { ttlSeconds }: Category,
  longest: number,
): number {
  const own = (expiresAt - createdAt) / 1000;
  return own < ttlSeconds ? own : longest;
}

function isMeant(entry: Entry, { id, tenant, model, root, category, tag }: EntryFilter): boolean {
  return (
    (id === undefined || entry.id === id) &&
    (tenant === undefined || entry.tenant === tenant) &&
    (model === undefined || entry.model === model) &&
    (root === undefined || entry.root === root) &&
    (category === undefined || entry.category === category) &&
    (tag === undefined || entry.tags.includes(tag))
  );
}

/** Why a category has nothing to do with a question; null: it has. */
function refusal(question: Question, category: Category): Bypass | null {
  const because = (reason: BypassReason): Bypass => ({ kind: 'bypass', reason, category: category.name });
  if (!category.enabled) return because('category');
  if (question.temperature > category.maxTemperature) return because('temperature');
  if (question.isMultiTurn && !category.multiTurn) return because('multi-turn');
  return null;
}
