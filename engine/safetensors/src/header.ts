import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { isSafetensorsDtype, type SafetensorsDtype, tensorBytes } from './dtypes.ts';
import { findDuplicateKey } from './duplicate-key.ts';
import { quoteName, SafetensorsError } from './errors.ts';
import { refusePickleContent, refusePickleName } from './pickle.ts';

/** A tensor's place in a safetensors file: bytes `begin` (included) to `end` (excluded), from the file's start. */
export interface SafetensorsTensor {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** A header whose every tensor lies inside the file, in order of the bytes, without overlap or hole. */
export interface SafetensorsHeader {
  readonly file: string;
  readonly fileBytes: number;
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ReadHeaderOptions {
  /** Longest header to read, in bytes; 100,000,000 unless told, as in the reference implementation. */
  readonly maxHeaderBytes?: number;
}

const LENGTH_BYTES = 8;
const REFERENCE_MAX_HEADER_BYTES = 100_000_000;

/**
 * Reads and checks the header of a safetensors file, and none of its tensors.
 *
 * @throws SafetensorsError where the file is anything but a valid safetensors file
 */
export async function readSafetensorsHeader(
  file: string,
  options?: ReadHeaderOptions,
): Promise<SafetensorsHeader> {
  const handle = await openSafetensors(file);
  try {
    return await readSafetensorsHeaderFrom(handle, file, options);
  } finally {
    await handle.close();
  }
}

/**
 * Opens a file for `readSafetensorsHeaderFrom`, so that header and tensors can be read through one handle. The
 * caller closes it.
 *
 * @throws SafetensorsError `pickle_refused` (by name), `safetensors_unreadable`
 */
export async function openSafetensors(file: string): Promise<FileHandle> {
  refusePickleName(file);
  let handle: FileHandle | undefined;
  try {
    // Non-blocking, so that opening a named pipe returns rather than waits for a writer.
    handle = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    if ((await handle.stat()).isFile()) return handle;
  } catch (cause) {
    await handle?.close();
    throw new SafetensorsError('safetensors_unreadable', file, `cannot be read (${errorCode(cause)})`, {
      cause,
    });
  }
  await handle.close();
  throw new SafetensorsError('safetensors_unreadable', file, 'is not a regular file');
}

/** As `readSafetensorsHeader`, from an open file; `file` is its name in messages. */
export async function readSafetensorsHeaderFrom(
  handle: FileHandle,
  file: string,
  options: ReadHeaderOptions = {},
): Promise<SafetensorsHeader> {
  const maxHeaderBytes = options.maxHeaderBytes ?? REFERENCE_MAX_HEADER_BYTES;
  const { size: fileBytes } = await handle.stat();
  const head = await readBytes(handle, file, 0, Math.min(fileBytes, LENGTH_BYTES + 1));
  refusePickleContent(file, head);
  if (fileBytes < LENGTH_BYTES) {
    throw new SafetensorsError(
      'safetensors_truncated',
      file,
      `has ${fileBytes} bytes, too few for a header's length`,
    );
  }
  refuseLfsPointer(file, head);
  // Compared as a bigint: the field has 64 bits, a number only 53.
  const declared = head.readBigUInt64LE(0);
  if (declared > BigInt(maxHeaderBytes)) {
    throw new SafetensorsError(
      'safetensors_header_too_large',
      file,
      `its header is said to have ${declared} bytes, at most ${maxHeaderBytes} are allowed`,
    );
  }
  const headerBytes = Number(declared);
  const dataBegin = LENGTH_BYTES + headerBytes;
  if (dataBegin > fileBytes) {
    throw new SafetensorsError(
      'safetensors_truncated',
      file,
      `its header is said to have ${headerBytes} bytes, but only ${fileBytes - LENGTH_BYTES} follow`,
    );
  }
  const header = parseHeader(file, await readBytes(handle, file, LENGTH_BYTES, headerBytes));
  return checkHeader(file, header, dataBegin, fileBytes);
}

/** What `git clone` leaves in place of a large file where git-lfs is not installed. */
function refuseLfsPointer(file: string, head: Buffer): void {
  if (!head.toString('latin1').startsWith('version ')) return;
  const problem = 'is a pointer of Git LFS, not the file itself: fetch it by `git lfs pull`';
  throw new SafetensorsError('safetensors_header_invalid', file, problem);
}

async function readBytes(handle: FileHandle, file: string, position: number, count: number): Promise<Buffer> {
  const bytes = Buffer.alloc(count);
  let done = 0;
  while (done < count) {
    const { bytesRead } = await readOrThrow(handle, file, bytes, done, position + done);
    if (bytesRead === 0)
      throw new SafetensorsError('safetensors_truncated', file, 'shrank while it was read');
    done += bytesRead;
  }
  return bytes;
}

async function readOrThrow(handle: FileHandle, file: string, into: Buffer, offset: number, position: number) {
  try {
    return await handle.read(into, offset, into.length - offset, position);
  } catch (cause) {
    throw new SafetensorsError('safetensors_unreadable', file, `cannot be read (${errorCode(cause)})`, {
      cause,
    });
  }
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

/** Bytes to a JSON object in which no key occurs twice. */
function parseHeader(file: string, bytes: Uint8Array): Record<string, unknown> {
  const invalid = (problem: string, cause?: unknown) =>
    new SafetensorsError('safetensors_header_invalid', file, `its header ${problem}`, { cause });
  if (bytes[0] !== 0x7b) throw invalid('does not begin with "{"');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw invalid('is not UTF-8', cause);
  }
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw invalid('is not JSON', cause);
  }
  const duplicate = findDuplicateKey(text);
  if (duplicate !== null) {
    throw new SafetensorsError(
      'safetensors_duplicate_key',
      file,
      `its header holds the key ${quoteName(duplicate)} twice`,
    );
  }
  return header;
}

function checkHeader(
  file: string,
  header: Record<string, unknown>,
  dataBegin: number,
  fileBytes: number,
): SafetensorsHeader {
  const { __metadata__: metadata, ...entries } = header;
  const tensors = Object.entries(entries)
    .map(([name, entry]) => checkTensor(file, name, entry, dataBegin, fileBytes))
    .sort((left, right) => left.begin - right.begin || left.end - right.end);
  checkCoverage(file, tensors, dataBegin, fileBytes);
  return {
    file,
    fileBytes,
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    metadata: checkMetadata(file, metadata),
  };
}

function checkMetadata(file: string, metadata: unknown): Record<string, string> {
  if (metadata === undefined || metadata === null) return {};
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw new SafetensorsError(
      'safetensors_header_invalid',
      file,
      'its "__metadata__" is not a map from strings to strings',
    );
  }
  return metadata as Record<string, string>;
}

function checkTensor(
  file: string,
  name: string,
  entry: unknown,
  dataBegin: number,
  fileBytes: number,
): SafetensorsTensor {
  const fail = (code: SafetensorsError['code'], problem: string) =>
    new SafetensorsError(code, file, problem, { tensor: name });
  if (!isObject(entry))
    throw fail('safetensors_header_invalid', 'is not an object with dtype, shape, data_offsets');
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isSafetensorsDtype(dtype)) {
    throw fail('safetensors_dtype_unknown', `unknown dtype ${quoteName(JSON.stringify(dtype) ?? 'none')}`);
  }
  if (!isSizes(shape)) {
    throw fail('safetensors_shape_invalid', 'its shape is not a list of non-negative integers below 2^53');
  }
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw fail(
      'safetensors_offsets_invalid',
      'its data_offsets are not two non-negative integers below 2^53',
    );
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end)
    throw fail('safetensors_offsets_invalid', `it begins at ${begin}, after its end at ${end}`);
  const dataBytes = fileBytes - dataBegin;
  if (end > dataBytes) {
    throw fail('safetensors_out_of_bounds', `it ends at byte ${end} of the data, which has ${dataBytes}`);
  }
  const bytes = tensorBytes(dtype, shape);
  if (bytes === null) {
    throw fail(
      'safetensors_shape_invalid',
      `${dtype} values of its shape fill no whole number of bytes below 2^53`,
    );
  }
  if (bytes !== end - begin) {
    throw fail('safetensors_size_mismatch', `its dtype and shape need ${bytes} bytes, it has ${end - begin}`);
  }
  return { name, dtype, shape, begin: dataBegin + begin, end: dataBegin + end };
}

/** The tensors, in order of their bytes, cover the data exactly. */
function checkCoverage(
  file: string,
  tensors: readonly SafetensorsTensor[],
  dataBegin: number,
  fileBytes: number,
): void {
  let covered = dataBegin;
  for (const { name, begin, end } of tensors) {
    if (begin < covered) {
      throw new SafetensorsError('safetensors_overlap', file, 'it overlaps the tensor before it', {
        tensor: name,
      });
    }
    if (begin > covered) {
      const problem = `the ${begin - covered} bytes before it belong to no tensor`;
      throw new SafetensorsError('safetensors_hole', file, problem, { tensor: name });
    }
    covered = end;
  }
  if (covered !== fileBytes) {
    throw new SafetensorsError(
      'safetensors_hole',
      file,
      `its last ${fileBytes - covered} bytes belong to no tensor`,
    );
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.every((item) => typeof item === 'number' && Number.isSafeInteger(item) && item >= 0)
  );
}
