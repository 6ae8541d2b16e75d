import type { CacheDocument, EntryHead } from '../entry.ts';

/** Which entries are meant: those that have all that is given. */
export interface EntryFilter {
  readonly id?: string;
  readonly tenant?: string;
  readonly model?: string;
  readonly root?: string;
  readonly category?: string;
  readonly tag?: string;
}

/** A head as it lies in the store, with what the index needs. */
export interface StoredHead extends EntryHead {
  readonly vector: Float32Array | null;
  readonly encoder: string | null;
  readonly hits: number;
}

/** What happened to entries, in the order of `sequence`, here or at another server of the same store. */
export type DocumentChange =
  | { readonly sequence: number; readonly kind: 'put'; readonly head: StoredHead }
  | { readonly sequence: number; readonly kind: 'remove'; readonly id: string };

/**
 * Where answers lie: read only when one is found. Heads and vectors are read once, when a server starts.
 * All calls may throw a StoreUnavailable when the store is away; the cache then goes on without it.
 */
export interface DocumentStore {
  /** Durable in a moment: what a crash loses is only made again. A document with an id that is there replaces it. */
  put(document: CacheDocument): Promise<void>;
  /** null where there is none any more. */
  get(id: string): Promise<CacheDocument | null>;
  remove(ids: readonly string[]): Promise<void>;
  /** Entries that match, newest first; `before` is the id that the last page ended with. */
  find(
    filter: EntryFilter,
    page: { readonly limit: number; readonly before?: string },
  ): Promise<readonly StoredHead[]>;
  /** Adds to entries' hits, which is no change that others have to know. */
  addHits(hits: ReadonlyMap<string, number>): Promise<void>;
  /** All live heads, in pages; begins where the cursor of the last page says. */
  heads(
    cursor: string | null,
    limit: number,
  ): Promise<{ readonly heads: readonly StoredHead[]; readonly cursor: string | null }>;
  /** The number of the last change. */
  lastSequence(): Promise<number>;
  /** Changes after a number, in order, at most `limit`. */
  changes(after: number, limit: number): Promise<readonly DocumentChange[]>;
  /** Removes what has expired (by `now`), and forgets old changes. @returns how many were removed */
  sweep(now: number): Promise<number>;
  close(): Promise<void>;
}
