/** An adapter's file in parts, so that a large one shows how far it is and survives a connection that breaks. */
import { ApiError, ask, pathOf, request, withQuery } from './client.ts';
import type { Release, Upload } from './types.ts';

const UPLOADS = '/admin/v1/adapters/uploads';
/** A small file in a few parts, so that progress is seen; a large one in parts that a bad line gets through. */
const LEAST_PART_BYTES = 256 << 10;
const MOST_PART_BYTES = 8 << 20;
const PARTS = 40;
/** Larger files are not hashed: all of one would have to be in memory for that. */
const MOST_HASHED_BYTES = 512 << 20;
const TRIES = 5;
const FIRST_DELAY_MS = 500;

export interface AdapterFiles {
  readonly name: string;
  /** Text of adapter_config.json. */
  readonly config: string;
  readonly weights: Blob;
  readonly tags: readonly string[];
  readonly note: string | null;
  readonly parent: string | null;
}

export interface UploadOptions {
  /** For whom an operator acts; null: for itself. */
  readonly tenant: string | null;
  readonly onProgress: (progress: UploadProgress) => void;
  readonly signal: AbortSignal;
  /** How small parts may be. */
  readonly leastPartBytes?: number;
}

export interface UploadProgress {
  readonly stage: 'reading' | 'sending' | 'checking';
  readonly sentBytes: number;
  readonly bytes: number;
}

/**
 * Sends the files and has them checked; goes on by itself after up to five failures of the connection in a row. Told to stop, it has
 * the server throw away what it was sent.
 * @throws ApiError such as `adapter_invalid`, whose message says what is wrong with the files
 */
export async function uploadAdapter(
  { weights, ...about }: AdapterFiles,
  options: UploadOptions,
): Promise<Release> {
  const { tenant, onProgress, signal } = options;
  const bytes = weights.size;
  onProgress({ stage: 'reading', sentBytes: 0, bytes });
  const sha256 = await sha256Of(weights);
  const body = { ...about, bytes, ...(sha256 === null ? {} : { sha256 }) };
  signal.throwIfAborted();
  // Its answer is waited for in any case: without it nobody would know what there is to be thrown away.
  const upload = await ask<Upload>('POST', withQuery(UPLOADS, { tenant }), { body });
  try {
    return await sendAll(upload, weights, options);
  } catch (error) {
    if (signal.aborted)
      await ask('DELETE', withQuery(pathOf(UPLOADS, upload.id), { tenant })).catch(() => {});
    throw error;
  }
}

async function sendAll(
  upload: Upload,
  weights: Blob,
  { tenant, onProgress, signal, leastPartBytes = LEAST_PART_BYTES }: UploadOptions,
): Promise<Release> {
  const bytes = weights.size;
  signal.throwIfAborted();
  const part = partBytes(bytes, { least: leastPartBytes, most: upload.max_chunk_bytes });
  let offset = upload.offset;
  for (let failures = 0; offset < bytes; ) {
    onProgress({ stage: 'sending', sentBytes: offset, bytes });
    try {
      offset = await sendPart(upload.id, weights.slice(offset, offset + part), offset, tenant, signal);
      failures = 0;
    } catch (error) {
      failures += 1;
      if (!isWorthAnotherTry(error) || failures === TRIES) throw error;
      await wait(FIRST_DELAY_MS * 2 ** (failures - 1), signal);
      offset = await offsetOf(upload.id, tenant, signal).catch(() => offset);
    }
  }
  onProgress({ stage: 'checking', sentBytes: bytes, bytes });
  return ask<Release>('POST', withQuery(`${pathOf(UPLOADS, upload.id)}/complete`, { tenant }), { signal });
}

/** How much is sent at once of so many bytes. */
export function partBytes(
  bytes: number,
  { least = LEAST_PART_BYTES, most }: { readonly least?: number; readonly most: number },
): number {
  return Math.min(most, MOST_PART_BYTES, Math.max(least, Math.ceil(bytes / PARTS)));
}

async function sendPart(
  id: string,
  part: Blob,
  offset: number,
  tenant: string | null,
  signal: AbortSignal,
): Promise<number> {
  const headers = { 'content-type': 'application/offset+octet-stream', 'upload-offset': `${offset}` };
  const path = withQuery(pathOf(UPLOADS, id), { tenant });
  const response = await request('PATCH', path, { body: part, headers, signal });
  return Number(response.headers.get('upload-offset') ?? offset + part.size);
}

async function offsetOf(id: string, tenant: string | null, signal: AbortSignal): Promise<number> {
  const { offset } = await ask<Upload>('GET', withQuery(pathOf(UPLOADS, id), { tenant }), { signal });
  return offset;
}

/** The connection, a server that starts, or another place than we thought: not what the files are refused for. */
function isWorthAnotherTry(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  return error.status === 0 || error.status >= 502 || error.code === 'upload_offset_mismatch';
}

/** null where the browser cannot (it hashes on https and localhost only), or the file is large. */
async function sha256Of(file: Blob): Promise<string | null> {
  const { subtle } = globalThis.crypto;
  if (subtle === undefined || file.size > MOST_HASHED_BYTES) return null;
  const hash = new Uint8Array(await subtle.digest('SHA-256', await file.arrayBuffer()));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    signal.addEventListener('abort', stop, { once: true });
  });
}
