import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory, syncFile } from '../durable.ts';
import { namesIn } from '../leftovers.ts';
import { isBlobId, StorageError, storageError } from './blob-store.ts';

const SUFFIX = '.safetensors';
/** Of a file that is still being written. */
const UNFINISHED = '.part';

interface Cached {
  readonly bytes: number;
}

/**
 * Local copies of blobs that are kept elsewhere: so many bytes of them, of which those that were not used for the
 * longest go first, and those that somebody holds never. One process at a time uses the directory.
 */
export class BlobCache {
  readonly #directory: string;
  readonly #maxBytes: number;
  /** In the order of their last use. */
  readonly #files = new Map<string, Cached>();
  readonly #holds = new Map<string, number>();
  /** What is on its way, so that it comes once however many ask for it. */
  readonly #coming = new Map<string, Promise<string>>();
  #onGone: (content: string) => void = () => {};
  #bytes = 0;
  /** Room that was promised to what is on its way. */
  #promised = 0;
  #opened: Promise<void> | null = null;

  constructor(directory: string, maxBytes: number) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
  }

  /** Bytes of files that are here. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Told of the content whose file is about to go to make room: whoever knows the path forgets it. */
  onGone(listener: (content: string) => void): void {
    this.#onGone = listener;
  }

  /** Keeps a content's files here until what is returned is called. */
  hold(content: string): () => void {
    this.#holds.set(content, (this.#holds.get(content) ?? 0) + 1);
    for (const id of [...this.#files.keys()]) if (contentOf(id) === content) this.#touch(id);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const left = (this.#holds.get(content) ?? 1) - 1;
      if (left === 0) this.#holds.delete(content);
      else this.#holds.set(content, left);
    };
  }

  /**
   * The path of a blob's copy.
   * @param fetch where it is not here: is handed the path to write to, and asks for room as soon as it knows how much
   */
  async get(
    id: string,
    fetch: (path: string, reserve: (bytes: number) => void) => Promise<void>,
  ): Promise<string> {
    await this.#open();
    // Somebody may have tidied up behind our back.
    if (this.#files.has(id) && (await sizeOf(this.#path(id))) === null) this.#drop(id);
    if (this.#files.has(id)) {
      this.#touch(id);
      return this.#path(id);
    }
    const coming = this.#coming.get(id) ?? this.#fetch(id, fetch);
    this.#coming.set(id, coming);
    return coming;
  }

  /** Takes a file in, moved or removed: it is a copy of what is safe elsewhere, so that failing to keep it is no fault. */
  async add(id: string, file: string): Promise<void> {
    try {
      await this.get(id, async (path, reserve) => {
        reserve((await stat(file)).size);
        await rename(file, path);
      });
    } catch {
      // It is fetched when it is needed.
    } finally {
      await rm(file, { force: true }).catch(() => {});
    }
  }

  async remove(id: string): Promise<void> {
    await this.#open();
    // What is still coming would be here after all.
    await this.#coming.get(id)?.catch(() => {});
    this.#drop(id);
    await rm(this.#path(id), { force: true }).catch((error: unknown) => {
      throw storageError(error, 'removing an adapter');
    });
  }

  async #fetch(
    id: string,
    fetch: (path: string, reserve: (bytes: number) => void) => Promise<void>,
  ): Promise<string> {
    const target = this.#path(id);
    const beside = `${target}.${randomUUID()}${UNFINISHED}`;
    let promised = 0;
    try {
      if ((await mkdir(dirname(target), { recursive: true })) !== undefined)
        await syncDirectory(dirname(this.#directory));
      await fetch(beside, (bytes) => {
        this.#makeRoom(bytes);
        promised += bytes;
        this.#promised += bytes;
      });
      await syncFile(beside);
      const { size } = await stat(beside);
      await rename(beside, target);
      await syncDirectory(this.#directory);
      this.#files.set(id, { bytes: size });
      this.#bytes += size;
      return target;
    } catch (error) {
      await rm(beside, { force: true }).catch(() => {});
      throw storageError(error, 'keeping a copy of an adapter');
    } finally {
      this.#promised -= promised;
      this.#coming.delete(id);
    }
  }

  /** At once: between the decision and the file's end nobody can ask for it. */
  #makeRoom(bytes: number): void {
    const missing = () => this.#bytes + this.#promised + bytes - this.#maxBytes;
    const free = [...this.#files].filter(([id]) => !this.#holds.has(contentOf(id)));
    const freeable = free.reduce((sum, [, file]) => sum + file.bytes, 0);
    if (missing() > freeable) {
      const message =
        `the cache of ${this.#maxBytes} bytes has no room for ${bytes} more beside the adapters that are in use; ` +
        'enlarge it (--blob-cache-bytes)';
      throw new StorageError('storage_full', message);
    }
    for (const [id] of free) {
      if (missing() <= 0) break;
      this.#onGone(contentOf(id));
      rmSync(this.#path(id), { force: true });
      this.#drop(id);
    }
  }

  #touch(id: string): void {
    const file = this.#files.get(id);
    if (file === undefined) return;
    this.#files.delete(id);
    this.#files.set(id, file);
  }

  #drop(id: string): void {
    this.#bytes -= this.#files.get(id)?.bytes ?? 0;
    this.#files.delete(id);
  }

  #open(): Promise<void> {
    this.#opened ??= this.#scan().catch((error: unknown) => {
      this.#opened = null;
      throw error;
    });
    return this.#opened;
  }

  /** Finds what the process before has left: whole copies, and what it was about to write. */
  async #scan(): Promise<void> {
    const found: { id: string; bytes: number; at: number }[] = [];
    for (const name of await namesIn(this.#directory)) {
      const file = join(this.#directory, name);
      const id = name.slice(0, -SUFFIX.length);
      const stats = await stat(file).catch(() => null);
      if (stats === null) continue;
      if (name.endsWith(UNFINISHED)) await rm(file, { force: true }).catch(() => {});
      else if (name.endsWith(SUFFIX) && isBlobId(id))
        found.push({ id, bytes: stats.size, at: stats.mtimeMs });
    }
    for (const { id, bytes } of found.sort((a, b) => a.at - b.at)) {
      this.#files.set(id, { bytes });
      this.#bytes += bytes;
    }
    // It may have been made smaller.
    this.#makeRoom(0);
  }

  #path(id: string): string {
    return join(this.#directory, `${id}${SUFFIX}`);
  }
}

/** The digest of the content that an id begins with. */
function contentOf(id: string): string {
  return id.slice(0, id.indexOf('-'));
}

async function sizeOf(file: string): Promise<number | null> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw storageError(error, 'looking for an adapter');
  }
}
