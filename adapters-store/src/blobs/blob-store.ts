import { randomBytes } from 'node:crypto';

/**
 * Where versions' safetensors files are kept. Each has an id of its own, never used again: what is removed cannot be what
 * somebody else has just put, even where the content is the same.
 */
export interface BlobStore {
  /**
   * Keeps a file's content; it is durable when this returns. The file is taken: moved or removed.
   *
   * @param id as `blobId` makes it
   * @throws StorageError
   */
  put(id: string, file: string): Promise<void>;
  /**
   * Path of a local file with that content, which nobody writes to any more.
   * @throws StorageError `blob_missing` where it is not here
   */
  locate(id: string): Promise<string>;
  /** Whether it is kept, asked of where it is kept. */
  has(id: string): Promise<boolean>;
  /** Forgets a content; none of that id is no error. */
  delete(id: string): Promise<void>;
  /** All that is here, and since when, in milliseconds since 1970. */
  list(): AsyncIterable<StoredBlob>;
  /** Until what is returned is called, files of a content that were located stay where they are. */
  hold(content: string): () => void;
  /** Told of contents whose located files are about to go although they are still kept: they are located anew. */
  onGone(listener: (content: string) => void): void;
  /** Lets go of connections. */
  close(): void;
}

export interface StoredBlob {
  readonly id: string;
  readonly storedAt: number;
}

const ID = /^[0-9a-f]{64}-[0-9a-f]{16}$/;

/** A new blob's id: the digest of the content, for who looks at the files, and what makes it the only one. */
export function blobId(digest: string): string {
  return `${digest}-${randomBytes(8).toString('hex')}`;
}

export function isBlobId(text: string): boolean {
  return ID.test(text);
}

export type StorageErrorCode = 'storage_full' | 'storage_unavailable' | 'storage_denied' | 'blob_missing';

/** What the disk, or what stands for it, could not do. Nothing was lost; it may work later. */
export class StorageError extends Error {
  override readonly name = 'StorageError';
  readonly code: StorageErrorCode;

  constructor(code: StorageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const ERRNO = /^E[A-Z0-9]+$/;
const FULL: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** A file system's error as one of the storage's; any other is given back as it is. */
export function storageError(cause: unknown, doing: string): unknown {
  if (!(cause instanceof Error) || !('code' in cause) || typeof cause.code !== 'string') return cause;
  if (!ERRNO.test(cause.code)) return cause;
  return FULL.has(cause.code)
    ? new StorageError(
        'storage_full',
        `there is no room left ${doing}; remove versions or enlarge the disk`,
        { cause },
      )
    : new StorageError('storage_unavailable', `${doing} failed (${cause.code})`, { cause });
}
