import type { CacheDocument, EntryHead } from '../entry.ts';

/** Which entries are meant: those that have all that is given. Nothing given: all. */
export interface EntryFilter {
  readonly id?: string;
  readonly tenant?: string;
  readonly model?: string;
  readonly root?: string;
  readonly category?: string;
  readonly tag?: string;
}

/** A head as a list of entries has it. */
export interface ListedHead extends EntryHead {
  readonly hits: number;
}

/** What is read of a document when it is found. */
export type DocumentBody = Pick<CacheDocument, 'question' | 'signature' | 'answer'>;

/** A head as it lies in the store, with what the index needs. */
export interface StoredHead extends ListedHead {
  readonly vector: Float32Array | null;
}

/**
 * What happened to an entry, here or at another server of the same store, in the order of `sequence`. Only the last that happened to an
 * entry is told, with the head as it is now.
 */
export type DocumentChange =
  | { readonly sequence: number; readonly kind: 'put'; readonly head: StoredHead }
  | { readonly sequence: number; readonly kind: 'remove'; readonly id: string };

/** The store is away, or takes no more. What was to be put is dropped: it is a cache. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
}

/**
 * Where answers lie: read only when one is found. Heads and vectors are read once, when a server starts: `lastSequence`, then all of
 * `heads`, then `changes` after that number, again and again.
 *
 * All calls may throw a StoreUnavailable: at once where the store is known to be away, else after a second, or three for a change. The cache
 * then goes on without the store, which looks by itself whether it is back. An entry is there until it is removed or swept: whether it has expired, its head says.
 */
export interface DocumentStore {
  /**
   * Resolves when it is written, a moment later, with others. What a crash loses is only made again. A document with an id that is there
   * replaces it, and keeps its hits.
   */
  put(document: CacheDocument): Promise<void>;
  /** null where there is none any more. Finds what is put and not yet written. */
  get(id: string): Promise<CacheDocument | null>;
  /** What an answer is given by, of several read at once: by id, of those that are there. */
  bodies(ids: readonly string[]): Promise<ReadonlyMap<string, DocumentBody>>;
  remove(ids: readonly string[]): Promise<void>;
  /** Entries that match, newest first; `before` is the last of the page before, which may be gone. */
  find(
    filter: EntryFilter,
    page: { readonly limit: number; readonly before?: Pick<EntryHead, 'id' | 'createdAt'> },
  ): Promise<readonly ListedHead[]>;
  /** Adds to entries' hits, which is no change that others have to know. Entries that are gone are left out. */
  addHits(hits: ReadonlyMap<string, number>): Promise<void>;
  /**
   * All heads, in pages; begins where the cursor of the last page says, null ends. What is there all the while is given at least once: what
   * is replaced meanwhile may come twice.
   */
  heads(
    cursor: string | null,
    limit: number,
  ): Promise<{ readonly heads: readonly StoredHead[]; readonly cursor: string | null }>;
  /** The number of the last change. */
  lastSequence(): Promise<number>;
  /**
   * Changes after a number, in order, at most `limit`. null where some of them are forgotten, or the store is another than the one that gave
   * the number: all heads are to be read anew.
   */
  changes(after: number, limit: number): Promise<readonly DocumentChange[] | null>;
  /** Removes what has expired (by `now`, in milliseconds since 1970), and forgets old changes. @returns how many were removed */
  sweep(now: number): Promise<number>;
  /** Writes what is put, as far as the store is there. */
  close(): Promise<void>;
}
