import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from '../logging.ts';
import type { CacheMetrics, RemovalReason } from './cache-metrics.ts';
import type { Category } from './categories/category.ts';
import type { CategoryTable } from './categories/category-table.ts';
import type { DocumentStore, EntryFilter, StoredHead } from './documents/document-store.ts';
import { type Entries, type Entry, entryOf, isEntryId } from './entries.ts';
import type { CacheDocument, EntryHead } from './entry.ts';
import type { ExactAnswers } from './exact-answers.ts';
import { freshSeconds, staleSeconds } from './freshness.ts';
import { Leaving } from './leaving.ts';
import { Quotas } from './quotas.ts';
import type { VectorIndex } from './vector-index/vector-index.ts';

/** Questions' vectors, which only those of one embedding model can be compared with. */
export interface Vectors {
  readonly index: VectorIndex;
  /** The model's digest. */
  readonly encoder: string;
}

/** Entries that are looked at or taken out at once: a few milliseconds. */
const TOGETHER = 1_000;

/** How much there is of something. */
export interface Amount {
  readonly entries: number;
  readonly bytes: number;
}

export interface KeptEntriesOptions {
  readonly categories: CategoryTable;
  readonly documents: DocumentStore;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly metrics: CacheMetrics;
  readonly logger: Logger;
  readonly entries: Entries;
  readonly answers: ExactAnswers;
}

/** Entries as they come and go: in memory, in the index, in their categories' quotas, and in the store. */
export class KeptEntries {
  readonly #options: KeptEntriesOptions;
  readonly #quotas: Quotas;
  /** null as long as the embedding model is not known. */
  #vectors: Vectors | null = null;
  readonly #leaving = new Leaving();
  /** Since they were last written down. */
  readonly #hits = new Map<string, number>();

  constructor(options: KeptEntriesOptions) {
    this.#options = options;
    this.#quotas = new Quotas((category) => options.categories.get(category));
  }

  get vectors(): Vectors | null {
    return this.#vectors;
  }

  /** @param tenant null: all together */
  usage(category: string, tenant: string | null = null): Amount {
    return this.#quotas.usage(category, tenant);
  }

  /** An entry is there from now on, unless its quota has no room for it. @param hits that it has had */
  take(head: StoredHead | CacheDocument, hits: number): Entry {
    const entry = entryOf(head, hits);
    this.#options.entries.add(entry);
    this.#index(entry, head);
    this.forget(this.#quotas.add(entry.category, entry, hits), 'quota');
    return entry;
  }

  /** Takes out entries, here and in the store. @throws StoreUnavailable */
  remove(ids: readonly string[], reason: RemovalReason): Promise<void> {
    return this.#leaving.removing((leave) => {
      leave(ids);
      this.#options.metrics.removed(reason, this.#drop(ids));
      return this.#options.documents.remove(ids);
    });
  }

  /**
   * Takes out all that match and are there now: here, and then in the store. Where the store is away what was here is gone all the same.
   * @param isDryRun only tells how much it would be
   * @throws StoreUnavailable
   */
  async purge(filter: EntryFilter, isDryRun: boolean): Promise<Amount> {
    if (filter.id !== undefined && !isEntryId(filter.id)) return { entries: 0, bytes: 0 };
    if (isDryRun)
      return this.#amount(
        filter,
        () => {},
        async () => {},
      );
    const { documents, metrics } = this.#options;
    return this.#leaving.removing((leave) =>
      this.#amount(
        filter,
        (ids) => {
          leave(ids);
          metrics.removed('purged', this.#drop(ids));
        },
        (ids) => documents.remove(ids),
      ),
    );
  }

  /**
   * How much matches: here and in the store.
   * @param onHere told of what is here, some at a time
   * @param onStored of what is, or may be, in the store; waited for
   */
  async #amount(
    filter: EntryFilter,
    onHere: (ids: readonly string[]) => void,
    onStored: (ids: readonly string[]) => Promise<void>,
  ): Promise<Amount> {
    const known = new Set<string>();
    let [entries, bytes] = [0, 0];
    const count = (heads: readonly EntryHead[]): readonly string[] => {
      for (const head of heads) {
        if (known.has(head.id)) continue;
        known.add(head.id);
        entries += 1;
        bytes += head.bytes;
      }
      return heads.map(({ id }) => id);
    };
    for await (const page of this.#pages((entry) => isMeant(entry, filter))) onHere(count(page));
    const here = [...known];
    // Also what is not written yet, which looking through the store would not find.
    for (let start = 0; start < here.length; start += TOGETHER) {
      await onStored(here.slice(start, start + TOGETHER));
    }
    for (let before: EntryHead | undefined; ; ) {
      const page = { limit: TOGETHER, ...(before === undefined ? {} : { before }) };
      const heads = await this.#options.documents.find(filter, page);
      const ids = count(heads);
      if (ids.length > 0) await onStored(ids);
      before = heads.at(-1);
      if (heads.length < TOGETHER) return { entries, bytes };
    }
  }

  /** Reads the store. @param read is told whether what it finds has left here meanwhile, and is not to be restored */
  reading<T>(read: (hasLeft: (id: string) => boolean) => Promise<T>): Promise<T> {
    return this.#leaving.reading(read);
  }

  /**
   * An entry of the store is there from now on, by another server or from before; told again, its vector is taken in.
   * @returns false where nobody would be given it any more
   */
  restore(head: StoredHead): boolean {
    if (!this.#isOfUse(head)) return false;
    const entry = this.#options.entries.get(head.id);
    if (entry !== null) this.#index(entry, head);
    else this.take(head, head.hits);
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
    const isOff = (entry: Entry) => !this.#categoryOf(entry).enabled;
    await this.removeThose(isOff, 'disabled');
    await this.removeThose((entry) => !this.#isOfUse(entry), 'expired');
  }

  /** Takes out entries, here at once and in the store as far as it is there. */
  async removeThose(isGone: (entry: Entry) => boolean, reason: RemovalReason): Promise<void> {
    for await (const page of this.#pages(isGone)) {
      const ids = page.map(({ id }) => id);
      await this.tried(() => this.remove(ids, reason));
    }
  }

  /** Takes them out here at once, and of the store in a moment. */
  forget(ids: readonly string[], reason: RemovalReason): void {
    if (ids.length > 0) void this.tried(() => this.remove(ids, reason));
  }

  /** undefined where the store is away: it has told of that itself. */
  async tried<T>(use: () => Promise<T>): Promise<T | undefined> {
    try {
      return await use();
    } catch (error) {
      this.#options.logger.debug({ err: error }, 'the answer cache goes on without its store');
      return undefined;
    }
  }

  /** What there are answers of. */
  versions() {
    return this.#options.entries.versions();
  }

  /** It was given to somebody. */
  used(entry: Entry): void {
    entry.hits += 1;
    this.#quotas.hit(entry.id);
    this.#hits.set(entry.id, (this.#hits.get(entry.id) ?? 0) + 1);
  }

  /** What was found since it was last asked, for the store. */
  takeHits(): ReadonlyMap<string, number> {
    const hits = new Map(this.#hits);
    this.#hits.clear();
    return hits;
  }

  #categoryOf({ category }: Pick<Entry, 'category'>): Category {
    return this.#options.categories.get(category);
  }

  /** Milliseconds since 1970 after which nothing can have an entry used any more. */
  #lastUse(entry: Pick<Entry, 'createdAt' | 'expiresAt' | 'category'>): number {
    const category = this.#options.categories.get(entry.category);
    const longest = Math.max(category.ttlSeconds, category.adaptive?.mostTtlSeconds ?? 0);
    const fresh = freshSeconds(entry, category, longest);
    return entry.createdAt + (fresh + staleSeconds(entry, category)) * 1000;
  }

  /** Whether an entry may still be given to somebody. */
  #isOfUse(head: Pick<Entry, 'createdAt' | 'expiresAt' | 'category'>): boolean {
    return this.#categoryOf(head).enabled && this.#lastUse(head) > this.#options.now();
  }

  #index(entry: Entry, { vector, encoder }: Pick<StoredHead, 'vector' | 'encoder'>): void {
    if (vector === null || this.#vectors === null || encoder !== this.#vectors.encoder) return;
    const { index } = this.#vectors;
    if (index.get(entry.id) !== null) return;
    index.add(entry.partition, entry.id, vector, { expiresAt: this.#lastUse(entry), tag: 0 });
  }

  /** Entries, of so many looked at together: others have their turn between. What comes and goes meanwhile may be among them. */
  async *#pages(isMeant: (entry: Entry) => boolean): AsyncGenerator<readonly Entry[]> {
    let [looked, page]: [number, Entry[]] = [0, []];
    for (const entry of this.#options.entries.values()) {
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
      if (this.#options.entries.remove(id) !== null) dropped += 1;
      this.#vectors?.index.remove(id);
      this.#quotas.remove(id);
      this.#options.answers.delete(id);
      this.#hits.delete(id);
    }
    return dropped;
  }
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
