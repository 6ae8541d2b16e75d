import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rm, stat, statfs, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { StorageError, storageError } from '../blobs/blob-store.ts';
import { syncDirectory, writeSynced } from '../durable.ts';
import { AdapterError } from '../errors.ts';
import { namesIn, removeLeftovers } from '../leftovers.ts';
import { CONFIG_FILE, checkConfig, MAX_CONFIG_BYTES, WEIGHTS_FILE } from '../peft/adapter.ts';
import type { Principal } from '../store/principal.ts';
import { assertWithin, type PushIntent, type PushLimits } from '../store/push.ts';
import type { AdaptersStore } from '../store.ts';
import { StoreError, UploadOffsetError } from '../store-error.ts';
import type { BaseModelShape } from '../types.ts';
import type { Release } from '../version.ts';
import { InTurn } from './in-turn.ts';
import {
  RECORD_FILE,
  readOutcome,
  readRecord,
  type UploadRecord,
  writeOutcome,
  writeRecord,
} from './upload-record.ts';

export interface AdapterUploadsOptions {
  /** On the disk of the store. */
  readonly directory: string;
  readonly store: AdaptersStore;
  readonly model: BaseModelShape;
  /** Of each adapter. */
  readonly limits: PushLimits;
  /** Uploads that a tenant may have open at once, and the bytes that these may announce together. */
  readonly most: { readonly uploads: number; readonly bytes: number };
  /** Milliseconds since 1970. */
  readonly clock?: () => number;
}

/** What somebody is about to send. */
export interface NewUpload extends PushIntent {
  /** The text of adapter_config.json. */
  readonly config: string;
  /** Of the safetensors file. */
  readonly bytes: number;
  /** Of the safetensors file, in hex: what comes is compared with it. */
  readonly sha256: string | null;
}

export interface Upload {
  readonly id: string;
  readonly name: string;
  readonly bytes: number;
  /** Bytes that are here for good: the next one is this one's. */
  readonly offset: number;
  /** When it is removed if nothing comes until then, in milliseconds since 1970. */
  readonly expiresAt: number;
  /** What it became; null while it is open. */
  readonly release: number | null;
}

/** For so long an upload waits for its next byte. */
const PATIENCE_MILLISECONDS = 24 * 60 * 60 * 1000;
const ID = /^[0-9a-f]{32}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/**
 * Adapters that come in parts, over connections that may break: what was told to be here is on the disk, whatever
 * happens to this process. An open upload is a folder with a record, the configuration and as much of the weights as
 * has come; one that was completed leaves a note of its release, so that whoever missed the answer can ask again.
 */
export class AdapterUploads {
  readonly #options: AdapterUploadsOptions;
  readonly #clock: () => number;
  readonly #beginning = new InTurn();
  /** Work on an upload, by its id. */
  readonly #working = new Map<string, InTurn>();

  constructor(options: AdapterUploadsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  /**
   * Makes room for an upload, having checked all that can be before its first byte. One of the same, told by its hash, that was
   * broken off is gone on with.
   * @throws AdapterError for what is wrong with the configuration, StoreError, StorageError
   */
  async begin(upload: NewUpload, actor: Principal): Promise<Upload> {
    const { store, limits, model } = this.#options;
    const { name, config, bytes, sha256, tags = [], note = null, parent = null } = upload;
    if (sha256 !== null && !SHA256.test(sha256)) {
      throw new StoreError('adapter_field_invalid', "'sha256' must be 64 digits in lower-case hex", 'sha256');
    }
    await store.assertPushable(upload, actor);
    if (Buffer.byteLength(config) > MAX_CONFIG_BYTES) {
      const message = `'config' may have at most ${MAX_CONFIG_BYTES} bytes`;
      throw new StoreError('adapter_too_large', message, 'config');
    }
    assertWithin(limits, bytes, checkConfig(config, name, model));
    const id = randomUUID().replaceAll('-', '');
    const record = { id, owner: actor.tenant, name, bytes, sha256, tags: [...tags], note, parent };
    try {
      // One after the other, so that two cannot both take the last room.
      return await this.#beginning.run(async () => {
        const own = await this.#openRecordsOf(actor);
        const begun = await this.#begunBefore(own, record, config, actor);
        if (begun !== null) return begun;
        await this.#assertRoom(own, bytes);
        const created = { ...record, createdAt: this.#clock() };
        await this.#make(created, config);
        return this.#described(created, 0);
      });
    } catch (error) {
      await this.#remove(id).catch(() => {});
      throw storageError(error, 'beginning an upload');
    }
  }

  /** Those that are open, the oldest first. @throws StorageError */
  async list(actor: Principal): Promise<Upload[]> {
    const own = await kept(this.#openRecordsOf(actor));
    own.sort((a, b) => a.createdAt - b.createdAt);
    // One may be completed or abandoned meanwhile.
    const found = await Promise.all(own.map(({ id }) => this.find(id, actor).catch(() => null)));
    return found.filter((upload) => upload !== null);
  }

  /** @throws StoreError `upload_not_found`, StorageError */
  async find(id: string, actor: Principal): Promise<Upload> {
    const done = await this.#outcome(id, actor);
    if (done !== null) return { ...this.#described(done.upload, done.upload.bytes), release: done.number };
    const record = await this.#record(id, actor);
    return this.#described(
      record,
      await this.#withWeights(id, async (handle) => {
        const { size } = await handle.stat();
        // What is told to be here stays; what an earlier process has written need not be on the disk yet.
        await handle.datasync();
        return size;
      }),
    );
  }

  /**
   * Takes the bytes that come next. An earlier call that still waits for its own is ended: its connection is likely
   * dead. Where the content breaks off, what has come of it stays.
   *
   * @param length of the content, where that is known
   * @throws UploadOffsetError, StoreError, StorageError, or what the content throws
   */
  async append(
    id: string,
    offset: number,
    content: Readable,
    actor: Principal,
    length?: number,
  ): Promise<Upload> {
    const { bytes } = await this.#record(id, actor);
    return this.#alone(id, async (signal) => {
      const record = await this.#record(id, actor);
      const end = await this.#withWeights(id, async (handle) => {
        const { size } = await handle.stat();
        if (offset !== size) throw new UploadOffsetError(size);
        if (offset + (length ?? 0) > bytes) throw tooLong(bytes);
        return receive(handle, size, bytes, content, signal);
      });
      return this.#described(record, end);
    });
  }

  /**
   * Makes a whole upload a release of its name. Asked again, it answers the same.
   * @throws AdapterError for what is wrong with the adapter, UploadOffsetError, StoreError, StorageError
   */
  async complete(id: string, actor: Principal): Promise<Release> {
    return this.#alone(id, async () => {
      const done = await this.#outcome(id, actor);
      if (done !== null) return this.#releaseOf(done.upload.name, done.number, actor);
      const record = await this.#record(id, actor);
      try {
        await this.#assertWhole(record);
        const { store, limits } = this.#options;
        const { name, tags, note, parent } = record;
        const push = { name, tags, note, parent, limits, source: { kind: 'upload' } } as const;
        const release = await store.push({ ...push, directory: this.#folder(id) }, actor);
        await this.#recorded(record, release.number);
        return release;
      } catch (error) {
        // No other bytes can come: to try again is to begin again.
        const isHopeless =
          error instanceof AdapterError ||
          (error instanceof StoreError && ['upload_damaged', 'adapter_too_large'].includes(error.code));
        if (isHopeless) await this.#remove(id).catch(() => {});
        throw storageError(error, 'completing an upload');
      }
    });
  }

  /** @throws StoreError `upload_not_found`, StorageError */
  async abandon(id: string, actor: Principal): Promise<void> {
    await this.#record(id, actor);
    await this.#alone(id, async () => {
      await this.#record(id, actor);
      await this.#remove(id);
    });
  }

  /** Removes uploads for which nothing has come for a day, and what is remembered of those completed before. */
  async collect(): Promise<void> {
    await this.#openRecords();
    const before = this.#clock() - PATIENCE_MILLISECONDS;
    for (const directory of [this.#open, this.#done]) await removeLeftovers(directory, before);
  }

  get #open(): string {
    return join(this.#options.directory, 'open');
  }

  get #done(): string {
    return join(this.#options.directory, 'done');
  }

  #folder(id: string): string {
    return join(this.#open, id);
  }

  #outcomeFile(id: string): string {
    return join(this.#done, `${id}.json`);
  }

  #described({ id, name, bytes }: UploadRecord, offset: number): Upload {
    return { id, name, bytes, offset, expiresAt: this.#clock() + PATIENCE_MILLISECONDS, release: null };
  }

  async #make(record: UploadRecord, config: string): Promise<void> {
    const folder = this.#folder(record.id);
    await mkdir(folder, { recursive: true });
    await writeSynced(join(folder, CONFIG_FILE), config);
    await writeSynced(join(folder, WEIGHTS_FILE), '');
    await writeRecord(folder, record);
    await syncDirectory(this.#open);
    await syncDirectory(this.#options.directory);
  }

  /** Another tenant's upload is as unknown as one that does not exist, and as one whose making broke off. */
  async #record(id: string, { tenant }: Principal): Promise<UploadRecord> {
    const record = ID.test(id) ? await kept(readRecord(this.#folder(id))) : null;
    if (record === null || record.owner !== tenant) throw notFound();
    return record;
  }

  async #outcome(id: string, { tenant }: Principal) {
    const outcome = ID.test(id) ? await kept(readOutcome(this.#outcomeFile(id))) : null;
    return outcome?.upload.owner === tenant ? outcome : null;
  }

  async #releaseOf(name: string, number: number, actor: Principal): Promise<Release> {
    const { releases } = await this.#options.store.inspect(name, actor);
    const release = releases.find((each) => each.number === number);
    if (release === undefined) throw notFound();
    return release;
  }

  async #recorded(upload: UploadRecord, number: number): Promise<void> {
    await writeOutcome(this.#outcomeFile(upload.id), { upload, number });
    // It is a release now: what cannot be removed is with time.
    await this.#remove(upload.id).catch(() => {});
  }

  async #remove(id: string): Promise<void> {
    try {
      // First what makes it an upload: half of one is none.
      await rm(join(this.#folder(id), RECORD_FILE), { force: true });
      await rm(this.#folder(id), { recursive: true, force: true });
    } catch (error) {
      throw storageError(error, 'removing an upload');
    }
  }

  /** @throws StoreError `uploads_exceeded`, StorageError `storage_full` */
  async #assertRoom(own: readonly UploadRecord[], bytes: number): Promise<void> {
    const { most } = this.#options;
    await mkdir(this.#open, { recursive: true });
    if (own.length >= most.uploads) {
      const message = `${own.length} uploads are open, which is as many as may be; complete or abandon one`;
      throw new StoreError('uploads_exceeded', message);
    }
    const reserved = own.reduce((sum, { bytes }) => sum + bytes, 0);
    if (reserved + bytes > most.bytes) {
      const message = `the open uploads have announced ${reserved} bytes; with this one's ${bytes} they would be more than ${most.bytes}`;
      throw new StoreError('uploads_exceeded', message, 'bytes');
    }
    const { bavail, bsize } = await statfs(this.#open);
    if (bytes > bavail * bsize) {
      const message = `there is no room left for ${bytes} bytes; remove versions or enlarge the disk`;
      throw new StorageError('storage_full', message);
    }
  }

  /** One of the actor's open uploads that is of the very same: null where there is none, or where no hash says so. */
  async #begunBefore(
    own: readonly UploadRecord[],
    record: Omit<UploadRecord, 'createdAt'>,
    config: string,
    actor: Principal,
  ): Promise<Upload | null> {
    if (record.sha256 === null) return null;
    const what = ({ name, bytes, sha256, tags, note, parent }: typeof record) =>
      JSON.stringify([name, bytes, sha256, tags, note, parent]);
    for (const open of own) {
      if (what(open) !== what(record)) continue;
      const before = await readFile(join(this.#folder(open.id), CONFIG_FILE), 'utf8').catch(() => null);
      if (before === config) return this.find(open.id, actor);
    }
    return null;
  }

  async #openRecordsOf({ tenant }: Principal): Promise<UploadRecord[]> {
    return (await this.#openRecords()).filter(({ owner }) => owner === tenant);
  }

  /** Those of every tenant. */
  async #openRecords(): Promise<UploadRecord[]> {
    const done = new Set(await namesIn(this.#done));
    const records = await Promise.all(
      (await namesIn(this.#open)).map(async (id) => {
        if (!done.has(`${id}.json`)) return readRecord(this.#folder(id));
        // It was completed, and its removal broke off.
        await this.#remove(id);
        return null;
      }),
    );
    return records.filter((record) => record !== null);
  }

  async #assertWhole({ id, bytes, sha256 }: UploadRecord): Promise<void> {
    const file = join(this.#folder(id), WEIGHTS_FILE);
    const { size } = await stat(file);
    if (size !== bytes) throw new UploadOffsetError(size, 'upload_incomplete');
    // Checking and storing a large one takes a while, in which it is not to be collected.
    const now = new Date();
    await utimes(join(this.#folder(id), RECORD_FILE), now, now);
    if (sha256 === null) return;
    const hash = createHash('sha256');
    await pipeline(createReadStream(file), hash);
    if (hash.digest('hex') === sha256) return;
    throw new StoreError(
      'upload_damaged',
      "what has come is not what was sent: its SHA-256 is not 'sha256'; begin again",
    );
  }

  async #withWeights<T>(id: string, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(join(this.#folder(id), WEIGHTS_FILE), 'r+');
      return await work(handle);
    } catch (error) {
      if (handle === undefined && error instanceof Error && 'code' in error && error.code === 'ENOENT')
        throw notFound();
      throw handle === undefined ? storageError(error, 'opening an upload') : error;
    } finally {
      await handle?.close();
    }
  }

  /** Runs nothing else on this upload meanwhile, and ends what waits for bytes. */
  async #alone<T>(id: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const turn = this.#working.get(id) ?? new InTurn();
    this.#working.set(id, turn);
    try {
      return await turn.takeOver(work);
    } finally {
      if (turn.isIdle) this.#working.delete(id);
    }
  }
}

/**
 * Appends what comes to a file, at most to `bytes`.
 * @returns the file's length, all of it on the disk
 */
async function receive(
  handle: FileHandle,
  begin: number,
  bytes: number,
  content: Readable,
  signal: AbortSignal,
): Promise<number> {
  let end = begin;
  try {
    for await (const chunk of addAbortSignal(signal, content)) {
      const piece = chunk as Uint8Array;
      if (end + piece.length > bytes) throw tooLong(bytes);
      await writeAt(handle, piece, end);
      end += piece.length;
    }
  } catch (error) {
    // What came before the connection broke is as good as any other; what was refused is as if it had not come.
    if (error instanceof StorageError || error instanceof StoreError)
      await handle.truncate(begin).catch(() => {});
    else await synced(handle);
    if (signal.aborted) throw new UploadOffsetError(end);
    throw error;
  }
  await synced(handle);
  return end;
}

async function writeAt(handle: FileHandle, piece: Uint8Array, position: number): Promise<void> {
  try {
    for (let done = 0; done < piece.length; ) {
      const { bytesWritten } = await handle.write(piece, done, piece.length - done, position + done);
      done += bytesWritten;
    }
  } catch (error) {
    throw storageError(error, 'receiving an adapter');
  }
}

async function synced(handle: FileHandle): Promise<void> {
  try {
    await handle.datasync();
  } catch (error) {
    throw storageError(error, 'receiving an adapter');
  }
}

async function kept<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    throw storageError(error, 'reading of an upload');
  }
}

function notFound(): StoreError {
  return new StoreError('upload_not_found', 'there is no such upload');
}

function tooLong(bytes: number): StoreError {
  return new StoreError(
    'upload_too_long',
    `the upload was announced with ${bytes} bytes, and more have come`,
  );
}
