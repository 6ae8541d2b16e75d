import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { Busboy, type BusboyFileStream } from '@fastify/busboy';
import { ApiError } from '../errors.ts';

/** A form beside its files: a few short fields. */
const MOST_FIELDS = 16;
const LIMITS = { fields: MOST_FIELDS, fieldNameSize: 100, fieldSize: 4096, headerPairs: 20 } as const;
const MOST_BYTES_BESIDE = 64 * 1024;

const MAX_FILENAME_LENGTH = 255;

export interface UploadTarget {
  /** Where the part is written; it must not exist. */
  readonly path: string;
  readonly limitBytes: number;
}

/** A file that came with a form. */
interface UploadedFile {
  readonly filename: string;
  readonly bytes: number;
}

/** A form whose files are on the disk. */
export interface Upload<Part extends string> {
  readonly fields: Readonly<Record<string, string>>;
  /** By the parts' names, those that the form had. */
  readonly files: Readonly<Partial<Record<Part, UploadedFile>>>;
}

/**
 * Receives a form with files, which go to the disk as they come and are synced in the end.
 * @param targets for each part that may be a file
 * @throws ApiError unsupported_media_type, invalid_multipart, string_above_max_length, file_too_large,
 *   client_closed_request
 */
export async function receiveUpload<Part extends string>(
  request: Request,
  targets: Readonly<Record<Part, UploadTarget>>,
): Promise<Upload<Part>> {
  const parts = Object.keys(targets) as Part[];
  const limits = parts.map((part) => targets[part].limitBytes);
  const tooLarge = (part: Part) =>
    new ApiError('file_too_large', `The file may have at most ${targets[part].limitBytes} bytes.`, part);
  const most = limits.reduce((sum, limit) => sum + limit, 0) + MOST_BYTES_BESIDE;
  const largest = parts[limits.indexOf(Math.max(...limits))];
  if (largest !== undefined && Number(request.headers.get('content-length') ?? 0) > most)
    throw tooLarge(largest);
  const form = newForm(request.headers.get('content-type'), parts.length, Math.max(...limits));
  // Without a prototype, whatever the fields are called.
  const fields: Record<string, string> = Object.create(null) as Record<string, string>;
  let tooLong = null as ApiError | null;
  const files = new Map<Part, Promise<UploadedFile>>();
  const stop = new AbortController();
  const cutOff = () => stop.abort(new ApiError('invalid_multipart', 'The form has too many parts.'));

  form.on('field', (name, value, nameIsCut, valueIsCut) => {
    fields[name] = value;
    if (!nameIsCut && !valueIsCut) return;
    const message = `The field '${name.slice(0, 64)}' may have at most ${LIMITS.fieldSize} bytes.`;
    // Told when all of the form is here: many clients read no answer before they have sent it.
    tooLong ??= new ApiError('string_above_max_length', message, nameIsCut ? null : name);
  });
  form.on('file', (name, stream, filename) => {
    const part = parts.find((each) => each === name);
    if (part === undefined || files.has(part)) {
      const names = parts.map((each) => `'${each}'`).join(' and ');
      stop.abort(new ApiError('invalid_multipart', `The form's files must be ${names}, each once.`));
      stream.resume();
      return;
    }
    stream.on('limit', () => stop.abort(tooLarge(part)));
    const { path, limitBytes } = targets[part];
    const written = write(stream, path, limitBytes, stop.signal);
    written.catch((error: unknown) => stop.abort(error instanceof TooLong ? tooLarge(part) : error));
    files.set(
      part,
      written.then((bytes) => ({ filename: filename.slice(0, MAX_FILENAME_LENGTH), bytes })),
    );
  });
  for (const limit of ['filesLimit', 'fieldsLimit', 'partsLimit'] as const) form.on(limit, cutOff);

  try {
    await pipeline(Readable.fromWeb((request.body ?? new Blob([]).stream()) as ReadableStream), form, {
      signal: stop.signal,
    });
  } catch (error) {
    stop.abort(error);
    // Whoever removes the target must not race with the writing of it.
    await Promise.allSettled(files.values());
    throw explained(stop.signal.reason, request.signal);
  }
  if (tooLong !== null) {
    await Promise.allSettled(files.values());
    throw tooLong;
  }
  const uploaded: Partial<Record<Part, UploadedFile>> = {};
  for (const [part, file] of files) uploaded[part] = await file;
  return { fields, files: uploaded };
}

/** A part that is longer than its own limit, where another's is higher. */
class TooLong extends Error {}

function newForm(contentType: string | null, files: number, limitBytes: number) {
  if (contentType === null || !/^multipart\/form-data\b/i.test(contentType)) {
    throw new ApiError('unsupported_media_type', 'Send the file as multipart/form-data.');
  }
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      limits: { ...LIMITS, files, parts: MOST_FIELDS + files, fileSize: limitBytes },
    });
  } catch {
    throw new ApiError('invalid_multipart', 'The multipart boundary is missing.');
  }
}

/** Resolves with the number of bytes when they are on the disk. */
async function write(
  stream: BusboyFileStream,
  path: string,
  limitBytes: number,
  signal: AbortSignal,
): Promise<number> {
  // The parser does not end a file whose form breaks off.
  const end = () => stream.destroy(new Error('the form broke off'));
  signal.addEventListener('abort', end, { once: true });
  stream.on('error', () => {});
  try {
    const handle = await open(path, 'wx');
    try {
      let bytes = 0;
      for await (const chunk of stream) {
        bytes += (chunk as Buffer).length;
        if (bytes > limitBytes) throw new TooLong();
        await handle.appendFile(chunk as Buffer);
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
