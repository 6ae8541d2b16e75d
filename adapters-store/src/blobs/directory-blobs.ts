import { copyFile, mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory, syncFile } from '../durable.ts';
import { namesIn } from '../leftovers.ts';
import { type BlobStore, isBlobId, StorageError, type StoredBlob, storageError } from './blob-store.ts';

const SUFFIX = '.safetensors';
/** Of a file that is being copied from another file system. */
const UNFINISHED = '.tmp';
/** Characters of an id that name its folder, so that no folder has too many files. */
const FAN_OUT = 2;

/** Blobs as files of a local directory. */
export class DirectoryBlobs implements BlobStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async put(id: string, file: string): Promise<void> {
    const target = this.#path(id);
    try {
      await syncFile(file);
      if ((await mkdir(dirname(target), { recursive: true })) !== undefined) await syncDirectory(this.#root);
      await move(file, target);
      await syncDirectory(dirname(target));
    } catch (error) {
      throw storageError(error, 'keeping an adapter');
    }
  }

  has(id: string): Promise<boolean> {
    return exists(this.#path(id));
  }

  async locate(id: string): Promise<string> {
    const file = this.#path(id);
    if (!(await exists(file)))
      throw new StorageError('blob_missing', `the file of ${id} is gone from the store`);
    return file;
  }

  async delete(id: string): Promise<void> {
    try {
      await rm(this.#path(id), { force: true });
      await rm(`${this.#path(id)}${UNFINISHED}`, { force: true });
    } catch (error) {
      throw storageError(error, 'removing an adapter');
    }
  }

  async *list(): AsyncGenerator<StoredBlob> {
    for (const folder of await namesIn(this.#root)) {
      for (const name of await namesIn(join(this.#root, folder))) {
        // One whose copying broke off is told like any other, so that it is removed like any other.
        const file = name.endsWith(UNFINISHED) ? name.slice(0, -UNFINISHED.length) : name;
        const id = file.endsWith(SUFFIX) ? file.slice(0, -SUFFIX.length) : '';
        if (!isBlobId(id)) continue;
        const found = await stat(join(this.#root, folder, name)).catch(() => null);
        if (found !== null) yield { id, storedAt: found.ctimeMs };
      }
    }
  }

  /** They never go by themselves. */
  hold(): () => void {
    return () => {};
  }

  onGone(): void {}

  close(): void {}

  #path(id: string): string {
    return join(this.#root, id.slice(0, FAN_OUT), `${id}${SUFFIX}`);
  }
}

/** Under its name at once, from another file system as well. */
async function move(file: string, target: string): Promise<void> {
  try {
    await rename(file, target);
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'EXDEV') throw error;
    const beside = `${target}${UNFINISHED}`;
    await copyFile(file, beside);
    await syncFile(beside);
    await rename(beside, target);
    await rm(file, { force: true });
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    return (await stat(file)).isFile();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw storageError(error, 'looking for an adapter');
  }
}
