import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { Busboy, type BusboyFileStream } from '@fastify/busboy';
import { ApiError } from '../errors.ts';

/** A form beside its file: a few short fields. */
const LIMITS = {
  files: 1,
  fields: 16,
  parts: 17,
  fieldNameSize: 100,
  fieldSize: 1024,
  headerPairs: 20,
} as const;
const MOST_BYTES_BESIDE = 64 * 1024;

const MAX_FILENAME_LENGTH = 255;

export interface UploadTarget {
  /** Where the part named `file` is written; it must not exist. */
  readonly path: string;
  readonly limitBytes: number;
}

/** A form whose file is on the disk. */
export interface Upload {
  readonly fields: Readonly<Record<string, string>>;
  /** null where the form has no file. */
  readonly file: { readonly filename: string; readonly bytes: number } | null;
}

/**
 * Receives a form with a file, which goes to the disk as it comes and is synced in the end.
 * @throws ApiError unsupported_media_type, invalid_multipart, file_too_large, client_closed_request
 */
export async function receiveUpload(request: Request, target: UploadTarget): Promise<Upload> {
  const { limitBytes } = target;
  const tooLarge = new ApiError('file_too_large', `The file may have at most ${limitBytes} bytes.`, 'file');
  if (Number(request.headers.get('content-length') ?? 0) > limitBytes + MOST_BYTES_BESIDE) throw tooLarge;
  const form = newForm(request.headers.get('content-type'), limitBytes);
  const fields: Record<string, string> = {};
  const files: Promise<{ filename: string; bytes: number }>[] = [];
  const stop = new AbortController();
  const cutOff = () => stop.abort(new ApiError('invalid_multipart', 'The form has too many parts.'));

  form.on('field', (name, value) => {
    fields[name] = value;
  });
  form.on('file', (name, stream, filename) => {
    if (name !== 'file') {
      stop.abort(new ApiError('invalid_multipart', "The form's file must be named 'file'."));
      stream.resume();
      return;
    }
    stream.on('limit', () => stop.abort(tooLarge));
    const written = write(stream, target.path, stop.signal);
    written.catch((error: unknown) => stop.abort(error));
    files.push(written.then((bytes) => ({ filename: filename.slice(0, MAX_FILENAME_LENGTH), bytes })));
  });
  for (const limit of ['filesLimit', 'fieldsLimit', 'partsLimit'] as const) form.on(limit, cutOff);

  try {
    await pipeline(Readable.fromWeb((request.body ?? new Blob([]).stream()) as ReadableStream), form, {
      signal: stop.signal,
    });
  } catch (error) {
    stop.abort(error);
    // Whoever removes the target must not race with the writing of it.
    await Promise.allSettled(files);
    throw explained(stop.signal.reason, request.signal);
  }
  return { fields, file: (await Promise.all(files))[0] ?? null };
}

function newForm(contentType: string | null, limitBytes: number) {
  if (contentType === null || !/^multipart\/form-data\b/i.test(contentType)) {
    throw new ApiError('unsupported_media_type', 'Send the file as multipart/form-data.');
  }
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      limits: { ...LIMITS, fileSize: limitBytes },
    });
  } catch {
    throw new ApiError('invalid_multipart', 'The multipart boundary is missing.');
  }
}

/** Resolves with the number of bytes when they are on the disk. */
async function write(stream: BusboyFileStream, path: string, signal: AbortSignal): Promise<number> {
  // The parser does not end a file whose form breaks off.
  const end = () => stream.destroy(new Error('the form broke off'));
  signal.addEventListener('abort', end, { once: true });
  stream.on('error', () => {});
  try {
    const handle = await open(path, 'wx');
    try {
      let bytes = 0;
      for await (const chunk of stream) {
        await handle.appendFile(chunk as Buffer);
        bytes += (chunk as Buffer).length;
      }
      signal.throwIfAborted();
      await handle.sync();
      return bytes;
    } finally {
      await handle.close();
    }
  } finally {
    signal.removeEventListener('abort', end);
  }
}

function explained(error: unknown, client: AbortSignal): unknown {
  if (error instanceof ApiError) return error;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  // Faults of the disk are ours.
  if (typeof code === 'string' && /^E[A-Z]+$/.test(code) && code !== 'ECONNRESET') return error;
  if (client.aborted || code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE') {
    return new ApiError('client_closed_request', 'The connection closed before the body was complete.');
  }
  return new ApiError('invalid_multipart', 'The body is not valid multipart/form-data.');
}
