import type { CacheDocument } from '../entry.ts';
import { StoreUnavailable } from './document-store.ts';

/** What is put in this time is written together, */
const TOGETHER_MILLISECONDS = 100;
/** until it is so much. */
const TOGETHER_DOCUMENTS = 64;
const TOGETHER_BYTES = 1 << 20;
/** A store that is so far behind gets nothing more for now. */
const MOST_BYTES = 64 << 20;

/** Documents that are written together. */
class Batch {
  readonly documents = new Map<string, CacheDocument>();
  bytes = 0;
  readonly written: Promise<void>;
  settle: (work: Promise<void>) => void = () => {};

  constructor() {
    this.written = new Promise((resolve) => {
      this.settle = resolve;
    });
    // Who puts need not ask whether it was written.
    this.written.catch(() => {});
  }
}

/** What is to be written, in order: one transaction at a time, documents several together. */
export class WriteQueue {
  readonly #write: (documents: readonly CacheDocument[]) => Promise<void>;
  /** Those not yet written, oldest first. */
  readonly #batches = new Set<Batch>();
  #open: Batch | null = null;
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** @param write writes all of them, or none */
  constructor(write: (documents: readonly CacheDocument[]) => Promise<void>) {
    this.#write = write;
  }

  /** Resolves when it is written. */
  put(document: CacheDocument): Promise<void> {
    if (this.#bytes + document.bytes > MOST_BYTES) {
      const refused = Promise.reject(new StoreUnavailable('the document store is behind'));
      refused.catch(() => {});
      return refused;
    }
    if (this.#open === null) {
      this.#open = new Batch();
      this.#batches.add(this.#open);
      this.#timer = setTimeout(() => this.#seal(), TOGETHER_MILLISECONDS);
    }
    const batch = this.#open;
    batch.documents.set(document.id, document);
    batch.bytes += document.bytes;
    this.#bytes += document.bytes;
    if (batch.documents.size >= TOGETHER_DOCUMENTS || batch.bytes >= TOGETHER_BYTES) this.#seal();
    return batch.written;
  }

  /** Those that are not yet written, and the ids of the others. */
  find(ids: readonly string[]): {
    readonly found: ReadonlyMap<string, CacheDocument>;
    readonly missing: readonly string[];
  } {
    const found = new Map<string, CacheDocument>();
    for (const { documents } of this.#batches) {
      for (const id of ids) {
        const document = documents.get(id);
        if (document !== undefined) found.set(id, document);
      }
    }
    return { found, missing: ids.filter((id) => !found.has(id)) };
  }

  /** Does something after all that was put, and all that was to be done, before. */
  after<T>(work: () => Promise<T>): Promise<T> {
    this.#seal();
    return this.#inTurn(work);
  }

  #seal(): void {
    const batch = this.#open;
    if (batch === null) return;
    this.#open = null;
    clearTimeout(this.#timer);
    batch.settle(this.#inTurn(() => this.#writeBatch(batch)));
  }

  async #writeBatch(batch: Batch): Promise<void> {
    try {
      await this.#write([...batch.documents.values()]);
    } finally {
      this.#batches.delete(batch);
      this.#bytes -= batch.bytes;
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }
}
