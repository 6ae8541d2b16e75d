import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { storageError } from '../blobs/blob-store.ts';
import { SourceError } from './source-error.ts';

/** What a download has to keep to. */
export interface Bounds {
  /** Of the weights. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  /** Told of bytes that have come. */
  readonly onBytes: (bytes: number) => void;
}

/** The most of adapter_config.json; what the reader takes. */
export const MOST_CONFIG_BYTES = 256 << 10;

export interface Stream {
  /** For messages. */
  readonly name: string;
  /** null: not told. */
  readonly bytes: number | null;
  readonly content: AsyncIterable<Uint8Array>;
}

/**
 * Writes a stream to a new file, as far as it may go.
 * @returns the SHA-256 of what was written, in hex
 * @throws SourceError, StorageError where the disk is full
 */
export async function saveStream(
  { name, bytes, content }: Stream,
  file: string,
  { maxBytes, signal, onBytes }: Bounds,
): Promise<string> {
  if (bytes !== null) assertWithin(name, bytes, maxBytes);
  const hash = createHash('sha256');
  let done = 0;
  const handle = await open(file, 'wx', 0o600).catch((error: unknown) => {
    throw storageError(error, 'importing an adapter');
  });
  try {
    for await (const chunk of content) {
      signal.throwIfAborted();
      done += chunk.length;
      // Whatever length was told before.
      assertWithin(name, done, maxBytes);
      hash.update(chunk);
      for (let from = 0; from < chunk.length; )
        from += (await written(handle.write(chunk, from, chunk.length - from))).bytesWritten;
      onBytes(chunk.length);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    await handle.close();
  }
  if (bytes !== null && done !== bytes)
    throw new SourceError('source_unavailable', `${name} ended after ${done} of ${bytes} bytes`);
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

function written<Result>(work: Promise<Result>): Promise<Result> {
  return work.catch((error: unknown) => {
    throw storageError(error, 'importing an adapter');
  });
}
