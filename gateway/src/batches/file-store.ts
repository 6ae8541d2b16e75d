import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { publishDirectory, replaceFile } from '@polylora/adapters-store/durable';
import { z } from 'zod';
import { newId } from '../openai/ids.ts';

const CONTENT = 'content.jsonl';
const ABOUT = 'file.json';

const FileRecord = z.object({
  id: z.string(),
  tenant: z.string(),
  bytes: z.int(),
  /** Unix time in seconds. */
  createdAt: z.int(),
  filename: z.string(),
  purpose: z.enum(['batch', 'batch_output']),
});

/** What is known of a file. */
export type FileRecord = z.infer<typeof FileRecord>;

/** The file in a directory that holds a file's content, before and after it is published. */
export function contentOf(directory: string): string {
  return join(directory, CONTENT);
}

/**
 * Files of tenants: each a directory with its content and what is known of it. A directory is made elsewhere and
 * moved to its place when it is complete, so that a file exists with both or not at all, whatever happens.
 */
export class FileStore {
  readonly #root: string;
  readonly #files = new Map<string, FileRecord>();

  private constructor(root: string) {
    this.#root = root;
  }

  /** Reads what there is, and removes what an earlier process left half done. */
  static async open(root: string): Promise<FileStore> {
    const store = new FileStore(root);
    await rm(store.#drafts, { recursive: true, force: true });
    for (const directory of [store.#drafts, store.#published]) await mkdir(directory, { recursive: true });
    for (const id of await readdir(store.#published)) {
      const about = await readFile(join(store.#published, id, ABOUT), 'utf8');
      store.#files.set(id, FileRecord.parse(JSON.parse(about)));
    }
    return store;
  }

  get #drafts(): string {
    return join(this.#root, 'drafts');
  }

  get #published(): string {
    return join(this.#root, 'files');
  }

  /** The tenant's files, the newest first. */
  list(tenant: string): readonly FileRecord[] {
    return [...this.#files.values()]
      .filter((file) => file.tenant === tenant)
      .sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  /** Another tenant's file is as unknown as one that does not exist. */
  find(tenant: string, id: string): FileRecord | undefined {
    const file = this.#files.get(id);
    return file?.tenant === tenant ? file : undefined;
  }

  path({ id }: FileRecord): string {
    return contentOf(join(this.#published, id));
  }

  /** A directory to write a new file's content in. Publish or discard it. */
  async draft(): Promise<{ readonly id: string; readonly directory: string }> {
    const id = newId('file-');
    const directory = join(this.#drafts, id);
    await mkdir(directory);
    return { id, directory };
  }

  async discard(directory: string): Promise<void> {
    await rm(directory, { recursive: true, force: true });
  }

  /** Makes a directory with synced content a file. Once it is one, doing so again does nothing. */
  async publish(directory: string, file: FileRecord): Promise<void> {
    if (this.#files.has(file.id)) return;
    await replaceFile(join(directory, ABOUT), JSON.stringify(file));
    await publishDirectory(directory, join(this.#published, file.id));
    this.#files.set(file.id, file);
  }

  /** Content that is being read can be read to its end. */
  async remove({ id }: FileRecord): Promise<void> {
    this.#files.delete(id);
    // Moved first: a crash while it is removed leaves no half of a file.
    const aside = join(this.#drafts, id);
    await rename(join(this.#published, id), aside);
    await this.discard(aside);
  }
}
