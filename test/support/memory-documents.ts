/** The answer cache's store, in this process's memory: for what is not about stores. */
import {
  type DocumentChange,
  type DocumentStore,
  type EntryFilter,
  type ListedHead,
  type StoredHead,
  StoreUnavailable,
} from '../../gateway/src/cache/documents/document-store.ts';
import type { CacheDocument, EntryHead } from '../../gateway/src/cache/entry.ts';

export class MemoryDocuments implements DocumentStore {
  readonly documents = new Map<string, { document: CacheDocument; hits: number }>();
  /** While it is, every call fails. */
  isAway = false;
  /** The last of each entry. */
  readonly #changes = new Map<string, DocumentChange>();
  #sequence = 0;

  async put(document: CacheDocument): Promise<void> {
    this.#look();
    const hits = this.documents.get(document.id)?.hits ?? 0;
    this.documents.set(document.id, { document, hits });
    this.#change({ kind: 'put', head: { ...document, hits } });
  }

  async getAll(ids: readonly string[]): Promise<ReadonlyMap<string, CacheDocument>> {
    const documents = await Promise.all(ids.map((id) => this.get(id)));
    return new Map(documents.flatMap((each) => (each === null ? [] : [[each.id, each]])));
  }

  async get(id: string): Promise<CacheDocument | null> {
    this.#look();
    return this.documents.get(id)?.document ?? null;
  }

  async remove(ids: readonly string[]): Promise<void> {
    this.#look();
    for (const id of ids) if (this.documents.delete(id)) this.#change({ kind: 'remove', id });
  }

  async purge(filter: EntryFilter): Promise<number> {
    const ids = this.#matching(filter).map(({ id }) => id);
    await this.remove(ids);
    return ids.length;
  }

  async find(
    filter: EntryFilter,
    { limit, before }: { readonly limit: number; readonly before?: Pick<EntryHead, 'id' | 'createdAt'> },
  ): Promise<readonly ListedHead[]> {
    this.#look();
    const isLater = (a: Pick<EntryHead, 'id' | 'createdAt'>, b: Pick<EntryHead, 'id' | 'createdAt'>) =>
      a.createdAt === b.createdAt ? a.id > b.id : a.createdAt > b.createdAt;
    return this.#matching(filter)
      .sort((a, b) => (isLater(a, b) ? -1 : 1))
      .filter((head) => before === undefined || isLater(before, head))
      .slice(0, limit);
  }

  async addHits(hits: ReadonlyMap<string, number>): Promise<void> {
    this.#look();
    for (const [id, count] of hits) {
      const found = this.documents.get(id);
      if (found !== undefined) found.hits += count;
    }
  }

  async heads(): Promise<{ readonly heads: readonly StoredHead[]; readonly cursor: null }> {
    this.#look();
    return { heads: this.#matching({}), cursor: null };
  }

  async lastSequence(): Promise<number> {
    this.#look();
    return this.#sequence;
  }

  async changes(after: number, limit: number): Promise<readonly DocumentChange[]> {
    this.#look();
    return [...this.#changes.values()].filter(({ sequence }) => sequence > after).slice(0, limit);
  }

  async sweep(now: number): Promise<number> {
    const ids = this.#matching({}).flatMap(({ id, expiresAt }) => (expiresAt <= now ? [id] : []));
    await this.remove(ids);
    return ids.length;
  }

  async close(): Promise<void> {}

  #look(): void {
    if (this.isAway) throw new StoreUnavailable('the store is away');
  }

  #matching({ tag, ...filter }: EntryFilter): StoredHead[] {
    const fields = Object.entries(filter) as [keyof Omit<EntryFilter, 'tag'>, string][];
    return [...this.documents.values()].flatMap(({ document, hits }) =>
      fields.every(([field, value]) => document[field] === value) &&
      (tag === undefined || document.tags.includes(tag))
        ? [{ ...document, hits }]
        : [],
    );
  }

  #change(change: { kind: 'put'; head: StoredHead } | { kind: 'remove'; id: string }): void {
    this.#sequence += 1;
    const id = change.kind === 'put' ? change.head.id : change.id;
    this.#changes.delete(id);
    this.#changes.set(id, { sequence: this.#sequence, ...change });
  }
}
