import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { StorageError, storageError } from '../blobs/blob-store.ts';
import { SourceError } from './source-error.ts';

/** What a download has to keep to. */
export interface Bounds {
  /** Of the weights. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  /** Told of bytes that have come. */
  readonly onBytes: (bytes: number) => void;
}

/** A file elsewhere. */
export interface RemoteFile {
  /** For messages. */
  readonly name: string;
  readonly bytes: number;
  /** Begins to send its bytes from there on. @throws SourceError where it is refused */
  open(from: number): Promise<AsyncIterable<Uint8Array>>;
}

/** How often a connection that broke is taken up again where it stopped. */
const ATTEMPTS = 4;
const PAUSE_MILLISECONDS = 250;

/**
 * Writes a file from elsewhere to a new one here, as far as it may go.
 * @returns the SHA-256 of what was written, in hex
 * @throws SourceError, StorageError where the disk is full, or the signal's reason
 */
export async function saveFile(
  remote: RemoteFile,
  file: string,
  { maxBytes, signal, onBytes }: Bounds,
): Promise<string> {
  const { name, bytes } = remote;
  assertWithin(name, bytes, maxBytes);
  const hash = createHash('sha256');
  let done = 0;
  const handle = await local(open(file, 'wx', 0o600));
  try {
    for (let attempt = 1; done < bytes; attempt++) {
      try {
        for await (const chunk of await remote.open(done)) {
          signal.throwIfAborted();
          // Whatever length was told before.
          if (done + chunk.length > bytes)
            throw new SourceError(
              'source_too_large',
              `${name} has more bytes than the ${bytes} it is said to have`,
            );
          hash.update(chunk);
          for (let from = 0; from < chunk.length; )
            from += (await local(handle.write(chunk, from, chunk.length - from))).bytesWritten;
          done += chunk.length;
          onBytes(chunk.length);
        }
        if (done < bytes) throw new Error('it ended too early');
      } catch (cause) {
        signal.throwIfAborted();
        const isKnown = cause instanceof SourceError || cause instanceof StorageError;
        const message = `${name} broke off after ${done} of ${bytes} bytes`;
        const failure = isKnown ? cause : new SourceError('source_unavailable', message, { cause });
        if (failure.code !== 'source_unavailable' || attempt === ATTEMPTS) throw failure;
        await sleep(attempt * PAUSE_MILLISECONDS, undefined, { signal });
      }
    }
  } finally {
    await handle.close();
  }
  return hash.digest('hex');
}
/** @throws SourceError */
export function assertWithin(name: string, bytes: number, most: number): void {
  if (bytes <= most) return;
  throw new SourceError(
    'source_too_large',
    `${name} has ${bytes} bytes or more, at most ${most} are allowed`,
  );
}

/** The disk's faults are the storage's, and not the source's. */
function local<Result>(work: Promise<Result>): Promise<Result> {
  return work.catch((error: unknown) => {
    throw storageError(error, 'importing an adapter');
  });
}
