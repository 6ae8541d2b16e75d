import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { SafetensorsError } from '@polylora/safetensors';
import type { AdapterIssue } from '../errors.ts';
import type { AdaptedModule, LowRankFactor, OutputChange, TensorLocation } from '../types.ts';
import { moduleName } from './targeting.ts';

/** A whole number of values of each type. */
const CHUNK_BYTES = 1 << 20;
const DIGEST_TAG = 'polylora-adapter-v1';
const VALUE_BYTES = { F32: 4, I32: 4, F16: 2, BF16: 2, U8: 1 } as const;
/** The largest code of a sparse part: four zeros. */
const LARGEST_CODE = 216;
/** Rounded to float16, this is infinite. */
const FLOAT16_INFINITE = 65_520;

/** A tensor's place in the digest, and what its values may be. */
interface Labelled {
  readonly label: string;
  readonly tensor: TensorLocation;
  /** The largest of an I32 or U8 tensor; those of others are finite in float16. */
  readonly largest?: number;
  /** Values of which the largest magnitude is asked for, so many at a time. */
  readonly magnitudesOf?: number;
}

/** Bytes that a tensor takes in the file. */
function storedBytes({ dtype, shape }: TensorLocation): number {
  return shape[0] * shape[1] * VALUE_BYTES[dtype];
}

/**
 * Reads every weight once, in bounded memory: checks the values and computes the adapter's digest.
 *
 * The digest is SHA-256 over, for each module in order, its name and what is done to it: for each part its numbers and its
 * tensors' dtypes, shapes and bytes. A tensor that was met before is named by its number. Every field has its length in
 * front, so that no two contents give the same input.
 *
 * @param nameOf the tensor that begins at a byte of the file, for issues
 * @throws SafetensorsError where the file has become shorter, or the file system's own error
 */
export async function readContent(
  handle: FileHandle,
  file: string,
  modules: readonly AdaptedModule[],
  nameOf: (begin: number) => string,
): Promise<{ readonly digest: string; readonly issues: readonly AdapterIssue[] }> {
  const hash = createHash('sha256');
  const buffer = new ArrayBuffer(CHUNK_BYTES);
  const issues: AdapterIssue[] = [];
  const met = new Map<number, number>();
  const magnitudes: Magnitudes = new Map();
  addField(hash, DIGEST_TAG);
  for (const adapted of modules) {
    addField(hash, moduleName(adapted.layer, adapted.module));
    for (const field of fieldsOf(adapted)) {
      if (typeof field === 'string' || field instanceof Uint8Array) {
        addField(hash, field);
        continue;
      }
      const { label, tensor } = field;
      addField(hash, label);
      const before = met.get(tensor.begin);
      if (before !== undefined) {
        addField(hash, 'again');
        addField(hash, numbers(before));
        continue;
      }
      met.set(tensor.begin, met.size);
      addField(hash, tensor.dtype);
      addField(hash, numbers(...tensor.shape));
      const problem = await readTensor(handle, file, field, buffer, hash, magnitudes);
      if (problem !== null) issues.push({ where: nameOf(tensor.begin), message: problem });
    }
  }
  if (issues.length === 0)
    for (const { where, message } of scaledBeyond(modules, magnitudes))
      issues.push({ where: nameOf(where), message });
  return { digest: hash.digest('hex'), issues };
}

/** Everything that tells what is done to a module, in one order. No two kinds of fields can be taken for each other. */
function* fieldsOf({
  input,
  lowRank,
  sparse,
  output,
}: AdaptedModule): Generator<string | Uint8Array | Labelled> {
  if (input !== undefined) yield { label: 'input', tensor: input };
  for (const { rank, scale, a, b } of lowRank) {
    yield numbers(rank, scale);
    yield* factorFields('lora_A', a);
    yield* factorFields('lora_B', b);
  }
  if (sparse !== undefined) {
    yield { label: 'sparse_codes', tensor: sparse.codes, largest: LARGEST_CODE };
    yield { label: 'sparse_scales', tensor: sparse.scales };
  }
  if (output !== undefined) yield* outputFields(output);
}

function* factorFields(label: string, { tensor, pieces, rowScales }: LowRankFactor): Generator<Labelled> {
  yield { label, tensor, ...(rowScales && { magnitudesOf: tensor.shape[1] }) };
  if (pieces !== undefined) yield { label: 'pieces', tensor: pieces, largest: tensor.shape[0] - 1 };
  if (rowScales !== undefined) yield { label: 'row_scales', tensor: rowScales, magnitudesOf: 1 };
}

function* outputFields(output: OutputChange): Generator<Uint8Array | Labelled> {
  switch (output.kind) {
    case 'scale':
      yield { label: output.kind, tensor: output.factors };
      break;
    case 'magnitude':
      yield { label: output.kind, tensor: output.magnitudes };
      break;
    case 'rotation':
      yield { label: output.kind, tensor: output.angles };
      yield { label: 'rotation_scales', tensor: output.scales };
      yield numbers(output.variant, output.groupSize);
  }
}

async function readTensor(
  handle: FileHandle,
  file: string,
  labelled: Labelled,
  buffer: ArrayBuffer,
  hash: Hash,
  magnitudes: Magnitudes,
): Promise<string | null> {
  const { tensor, magnitudesOf } = labelled;
  const total = storedBytes(tensor);
  addLength(hash, total);
  let problem: string | null = null;
  for (let done = 0; done < total; ) {
    const chunk = new Uint8Array(buffer, 0, Math.min(CHUNK_BYTES, total - done));
    await fill(handle, file, chunk, tensor.begin + done);
    hash.update(chunk);
    if (problem === null) {
      const bad = findUnusable(labelled, buffer, chunk.length);
      if (bad !== null) problem = describe(bad.value, done / VALUE_BYTES[tensor.dtype] + bad.index, labelled);
    }
    if (magnitudesOf !== undefined)
      noteMagnitudes(magnitudes, tensor, magnitudesOf, buffer, done, chunk.length);
    done += chunk.length;
  }
  return problem;
}

/** The largest magnitudes of parts of tensors, as bits of the tensor's type, by the tensor's first byte. */
type Magnitudes = Map<number, Uint32Array>;

function noteMagnitudes(
  magnitudes: Magnitudes,
  { begin, dtype, shape: [rows, columns] }: TensorLocation,
  length: number,
  buffer: ArrayBuffer,
  done: number,
  bytes: number,
): void {
  const largest = magnitudes.get(begin) ?? new Uint32Array((rows * columns) / length);
  magnitudes.set(begin, largest);
  const width = VALUE_BYTES[dtype];
  const isWide = width === 4;
  const values = isWide ? new Uint32Array(buffer, 0, bytes / 4) : new Uint16Array(buffer, 0, bytes / 2);
  const mask = isWide ? 0x7fff_ffff : 0x7fff;
  let part = Math.floor(done / width / length);
  let left = length - ((done / width) % length);
  for (let index = 0; index < values.length; index++) {
    const bits = values[index]! & mask;
    if (bits > largest[part]!) largest[part] = bits;
    if (--left === 0) {
      part++;
      left = length;
    }
  }
}

/** Rows that are finite in float16, and are not once they are scaled. */
function* scaledBeyond(
  modules: readonly AdaptedModule[],
  magnitudes: Magnitudes,
): Generator<{ readonly where: number; readonly message: string }> {
  for (const { a, b } of modules.flatMap(({ lowRank }) => lowRank)) {
    for (const { tensor, rowScales } of [a, b]) {
      if (rowScales === undefined) continue;
      const rows = magnitudes.get(tensor.begin)!;
      const row = magnitudes
        .get(rowScales.begin)!
        .findIndex(
          (bits, index) => magnitude(rowScales, bits) * magnitude(tensor, rows[index]!) >= FLOAT16_INFINITE,
        );
      if (row >= 0) yield { where: rowScales.begin, message: `scales row ${row} beyond float16's 65504` };
    }
  }
}

function magnitude({ dtype }: TensorLocation, bits: number): number {
  if (dtype === 'F32') return float32(bits);
  if (dtype === 'BF16') return float32(bits << 16);
  const exponent = bits >> 10;
  const fraction = (bits & 0x3ff) / 1024;
  return exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
}

async function fill(handle: FileHandle, file: string, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesRead } = await handle.read(chunk, done, chunk.length - done, position + done);
    if (bytesRead === 0)
      throw new SafetensorsError('safetensors_truncated', file, 'shrank while it was read');
    done += bytesRead;
  }
}

/** The first value that is not finite in float16, or too large an index or code, with its index in the buffer. */
function findUnusable(
  { tensor: { dtype }, largest = 0 }: Labelled,
  buffer: ArrayBuffer,
  bytes: number,
): { readonly index: number; readonly value: number } | null {
  switch (dtype) {
    case 'F32': {
      const bits = new Uint32Array(buffer, 0, bytes / 4);
      // Magnitudes order as their bits do, and 0x477fe000 is 65504; infinity and NaN are above.
      const index = findAbove(bits, 0x7fff_ffff, 0x477f_e000);
      return index < 0 ? null : { index, value: float32(bits[index]!) };
    }
    case 'BF16': {
      const bits = new Uint16Array(buffer, 0, bytes / 2);
      // The upper half of a float32: 0x477f is 65280, the next is 65536.
      const index = findAbove(bits, 0x7fff, 0x477f);
      return index < 0 ? null : { index, value: float32(bits[index]! << 16) };
    }
    case 'F16': {
      const bits = new Uint16Array(buffer, 0, bytes / 2);
      const index = findAbove(bits, 0x7c00, 0x7bff);
      return index < 0 ? null : { index, value: (bits[index]! & 0x3ff) === 0 ? Infinity : Number.NaN };
    }
    case 'I32': {
      // A negative one is larger than any as an unsigned number.
      const index = findAbove(new Uint32Array(buffer, 0, bytes / 4), 0xffff_ffff, largest);
      return index < 0 ? null : { index, value: new Int32Array(buffer, 0, bytes / 4)[index]! };
    }
    case 'U8': {
      const codes = new Uint8Array(buffer, 0, bytes);
      const index = findAbove(codes, 0xff, largest);
      return index < 0 ? null : { index, value: codes[index]! };
    }
  }
}

/** Index of the first of the values whose masked bits are more than `most`, or -1. A loop, because `findIndex` is ten times slower. */
function findAbove(values: Uint8Array | Uint16Array | Uint32Array, mask: number, most: number): number {
  // Unsigned: a mask of all 32 bits would give negative numbers.
  for (let index = 0; index < values.length; index++) if ((values[index]! & mask) >>> 0 > most) return index;
  return -1;
}

function float32(bits: number): number {
  return new Float32Array(new Uint32Array([bits]).buffer)[0]!;
}

function describe(value: number, index: number, { tensor: { dtype, shape }, largest }: Labelled): string {
  const at = `row ${Math.floor(index / shape[1])}, column ${index % shape[1]}`;
  if (dtype === 'I32' || dtype === 'U8')
    return `holds ${value} at ${at}, only 0 to ${largest} have a meaning`;
  if (Number.isNaN(value)) return `holds NaN at ${at}`;
  if (!Number.isFinite(value)) return `holds an infinite value at ${at}`;
  return `holds ${value} at ${at}, beyond float16's 65504`;
}

function addField(hash: Hash, field: string | Uint8Array): void {
  const bytes = typeof field === 'string' ? Buffer.from(field) : field;
  addLength(hash, bytes.length);
  hash.update(bytes);
}

function addLength(hash: Hash, length: number): void {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(length));
  hash.update(prefix);
}

function numbers(...values: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => {
    bytes.writeDoubleLE(value, 8 * index);
  });
  return bytes;
}
