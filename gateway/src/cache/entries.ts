import type { EntryHead } from './entry.ts';

/** An entry in memory. */
export interface Entry extends EntryHead {
  hits: number;
}

/** What answered: a name as it was asked for, and what it stood for. */
export type Version = Pick<EntryHead, 'model' | 'root'>;

/** What is where, by id and by the exact request. */
export class Entries {
  readonly #byId = new Map<string, Entry>();
  readonly #byKey = new Map<string, string>();
  /** How many there are by model, and of it by root. */
  readonly #versions = new Map<string, Map<string, number>>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): Entry | null {
    return this.#byId.get(id) ?? null;
  }

  /** The newest answer to an exact request. */
  exact(key: string): Entry | null {
    const id = this.#byKey.get(key);
    return id === undefined ? null : this.get(id);
  }

  /** @param entry with an id that is not there */
  add(entry: Entry): void {
    this.#byId.set(entry.id, entry);
    this.#count(entry, 1);
    const newest = this.exact(entry.exactKey);
    // An older one may be told of later, by the store: it must not hide the newer, nor take it along when it goes.
    if (newest === null || newest.createdAt <= entry.createdAt) this.#byKey.set(entry.exactKey, entry.id);
  }

  /** @returns what was there */
  remove(id: string): Entry | null {
    const entry = this.get(id);
    if (entry === null) return null;
    this.#byId.delete(id);
    this.#count(entry, -1);
    if (this.#byKey.get(entry.exactKey) === id) this.#byKey.delete(entry.exactKey);
    return entry;
  }

  values(): IterableIterator<Entry> {
    return this.#byId.values();
  }

  /** What there are entries of. */
  versions(): Version[] {
    return [...this.#versions].flatMap(([model, roots]) =>
      [...roots.keys()].map((root) => ({ model, root })),
    );
  }

  #count({ model, root }: Version, change: number): void {
    const roots = this.#versions.get(model) ?? new Map<string, number>();
    const count = (roots.get(root) ?? 0) + change;
    if (count > 0) roots.set(root, count);
    else roots.delete(root);
    if (roots.size > 0) this.#versions.set(model, roots);
    else this.#versions.delete(model);
  }
}

/** What an entry's id looks like: stores are asked for no other. */
const ENTRY_ID = /^[\w-]{1,64}$/;

export function isEntryId(text: string): boolean {
  return ENTRY_ID.test(text);
}

/** What of an entry stays in memory. */
export function entryOf(head: EntryHead, hits: number): Entry {
  const { id, server, partition, exactKey, tenant, model, root, category, tags } = head;
  const { createdAt, expiresAt, bytes, computeSeconds, promptTokens, completionTokens, encoder } = head;
  return {
    ...{ id, server, partition, exactKey, tenant, model, root, category, tags },
    ...{ createdAt, expiresAt, bytes, computeSeconds, promptTokens, completionTokens, encoder },
    hits,
  };
}
