import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { publishDirectory, replaceFile } from '@polylora/adapters-store/durable';
import { BatchRecord } from './batch-record.ts';

const ABOUT = 'batch.json';

/**
 * What is known of each batch, in a small file of its own that is replaced as a whole. Plain files and not a
 * database, because all that must be atomic is one of these at a time and the appending of a line; results are
 * then written where they will be read from, and need not be copied into a file at the end.
 */
export class BatchStore {
  readonly #root: string;
  readonly #batches = new Map<string, BatchRecord>();
  /** Of each batch, the last write: a later one must not be overtaken by it. */
  readonly #writes = new Map<string, Promise<void>>();

  private constructor(root: string) {
    this.#root = root;
  }

  static async open(root: string): Promise<BatchStore> {
    const store = new BatchStore(root);
    await rm(store.#drafts, { recursive: true, force: true });
    for (const directory of [store.#drafts, store.#kept]) await mkdir(directory, { recursive: true });
    for (const id of await readdir(store.#kept)) {
      const about = await readFile(join(store.#kept, id, ABOUT), 'utf8');
      store.#batches.set(id, BatchRecord.parse(JSON.parse(about)));
    }
    return store;
  }

  get #drafts(): string {
    return join(this.#root, 'new-batches');
  }

  get #kept(): string {
    return join(this.#root, 'batches');
  }

  /** Where a batch keeps its results until they are published. */
  resultDirectory(id: string, kind: 'output' | 'errors'): string {
    return join(this.#kept, id, kind);
  }

  all(): readonly BatchRecord[] {
    return [...this.#batches.values()];
  }

  /** The tenant's batches, the newest first. */
  list(tenant: string): readonly BatchRecord[] {
    return this.all()
      .filter((batch) => batch.tenant === tenant)
      .sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  /** A batch that exists. */
  get(id: string): BatchRecord {
    const batch = this.#batches.get(id);
    if (batch === undefined) throw new Error(`there is no batch ${id}`);
    return batch;
  }

  /** Another tenant's batch is as unknown as one that does not exist. */
  find(tenant: string, id: string): BatchRecord | undefined {
    const batch = this.#batches.get(id);
    return batch?.tenant === tenant ? batch : undefined;
  }

  /** Known at once, so that nobody removes its input meanwhile. */
  async create(batch: BatchRecord): Promise<void> {
    this.#batches.set(batch.id, batch);
    try {
      await this.#createDirectory(batch);
    } catch (error) {
      this.#batches.delete(batch.id);
      throw error;
    }
  }

  async #createDirectory(batch: BatchRecord): Promise<void> {
    const draft = join(this.#drafts, batch.id);
    await mkdir(draft);
    await replaceFile(join(draft, ABOUT), JSON.stringify(batch));
    await publishDirectory(draft, join(this.#kept, batch.id));
  }

  /** Holds at once for readers, and resolves when it is on the disk. */
  save(batch: BatchRecord): Promise<void> {
    this.#batches.set(batch.id, batch);
    const write = (this.#writes.get(batch.id) ?? Promise.resolve())
      .catch(() => {})
      .then(() => replaceFile(join(this.#kept, batch.id, ABOUT), JSON.stringify(this.get(batch.id))));
    this.#writes.set(batch.id, write);
    return write;
  }
}
