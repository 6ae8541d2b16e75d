import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { SafetensorsError } from '@polylora/safetensors';
import type { AdapterIssue } from '../errors.ts';
import type { LoraPair, TensorLocation } from '../types.ts';
import { moduleName } from './target-modules.ts';

/** A whole number of values of each type. */
const CHUNK_BYTES = 1 << 20;
const DIGEST_TAG = 'polylora-adapter-v1';
const VALUE_BYTES = { F32: 4, F16: 2, BF16: 2 } as const;

/** Bytes that a tensor takes in the file. */
function storedBytes({ dtype, shape }: TensorLocation): number {
  return shape[0] * shape[1] * VALUE_BYTES[dtype];
}

/**
 * Reads every weight once, in bounded memory: checks the values and computes the adapter's digest.
 *
 * The digest is SHA-256 over, for each pair in order, its module, rank and scale and both tensors' dtype, shape and
 * bytes; every field has its length in front, so that no two contents give the same input.
 *
 * @throws SafetensorsError where the file has become shorter, or the file system's own error
 */
export async function readContent(
  handle: FileHandle,
  file: string,
  pairs: readonly LoraPair[],
): Promise<{ readonly digest: string; readonly issues: readonly AdapterIssue[] }> {
  const hash = createHash('sha256');
  const buffer = new ArrayBuffer(CHUNK_BYTES);
  const issues: AdapterIssue[] = [];
  addField(hash, DIGEST_TAG);
  for (const { layer, module, rank, scale, a, b } of pairs) {
    const name = moduleName(layer, module);
    addField(hash, name);
    addField(hash, numbers(rank, scale));
    for (const [side, tensor] of [['lora_A', a] as const, ['lora_B', b] as const]) {
      addField(hash, side);
      addField(hash, tensor.dtype);
      addField(hash, numbers(...tensor.shape));
      const problem = await readTensor(handle, file, tensor, buffer, hash);
      if (problem !== null)
        issues.push({ where: `base_model.model.${name}.${side}.weight`, message: problem });
    }
  }
  return { digest: hash.digest('hex'), issues };
}

async function readTensor(
  handle: FileHandle,
  file: string,
  tensor: TensorLocation,
  buffer: ArrayBuffer,
  hash: Hash,
): Promise<string | null> {
  const total = storedBytes(tensor);
  addLength(hash, total);
  let problem: string | null = null;
  for (let done = 0; done < total; ) {
    const chunk = new Uint8Array(buffer, 0, Math.min(CHUNK_BYTES, total - done));
    await fill(handle, file, chunk, tensor.begin + done);
    hash.update(chunk);
    if (problem === null) {
      const bad = findUnusable(tensor.dtype, buffer, chunk.length);
      if (bad !== null) problem = describe(bad.value, done / VALUE_BYTES[tensor.dtype] + bad.index, tensor);
    }
    done += chunk.length;
  }
  return problem;
}

async function fill(handle: FileHandle, file: string, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesRead } = await handle.read(chunk, done, chunk.length - done, position + done);
    if (bytesRead === 0)
      throw new SafetensorsError('safetensors_truncated', file, 'shrank while it was read');
    done += bytesRead;
  }
}

/** The first value that is not finite in float16, with its index in the buffer. */
function findUnusable(
  dtype: TensorLocation['dtype'],
  buffer: ArrayBuffer,
  bytes: number,
): { readonly index: number; readonly value: number } | null {
  if (dtype === 'F32') {
    const bits = new Uint32Array(buffer, 0, bytes / 4);
    // Magnitudes order as their bits do, and 0x477fe000 is 65504; infinity and NaN are above.
    const index = findAbove(bits, 0x7fff_ffff, 0x477f_e000);
    return index < 0 ? null : { index, value: float32(bits[index]!) };
  }
  const bits = new Uint16Array(buffer, 0, bytes / 2);
  if (dtype === 'BF16') {
    // The upper half of a float32: 0x477f is 65280, the next is 65536.
    const index = findAbove(bits, 0x7fff, 0x477f);
    return index < 0 ? null : { index, value: float32(bits[index]! << 16) };
  }
  const index = findAbove(bits, 0x7c00, 0x7bff);
  return index < 0 ? null : { index, value: (bits[index]! & 0x3ff) === 0 ? Infinity : Number.NaN };
}

/** Index of the first of the values whose masked bits are more than `most`, or -1. A loop, because `findIndex` is ten times slower. */
function findAbove(values: Uint16Array | Uint32Array, mask: number, most: number): number {
  for (let index = 0; index < values.length; index++) if ((values[index]! & mask) > most) return index;
  return -1;
}

function float32(bits: number): number {
  return new Float32Array(new Uint32Array([bits]).buffer)[0]!;
}

function describe(value: number, index: number, { shape }: TensorLocation): string {
  const at = `row ${Math.floor(index / shape[1])}, column ${index % shape[1]}`;
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
