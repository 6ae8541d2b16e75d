import type { FileHandle } from 'node:fs/promises';
import type { StoredTensor } from '../model/decoder.ts';
import { EngineError } from '../types.ts';

/** Reads a tensor's values, row-major. @throws EngineError `model_corrupt` where they are not finite or not there */
export async function tensorValues(file: FileHandle, tensor: StoredTensor): Promise<Float32Array> {
  const { name, type, rows, cols, offset } = tensor;
  const bytes = Buffer.alloc(rows * cols * (type === 'F32' ? 4 : 2));
  const { bytesRead } = await file.read(bytes, 0, bytes.length, offset);
  if (bytesRead !== bytes.length) throw new EngineError('model_corrupt', `Tensor ${name} was cut short.`);
  const values = new Float32Array(rows * cols);
  for (let i = 0; i < values.length; i++) {
    values[i] = type === 'F32' ? bytes.readFloatLE(4 * i) : halfValue(bytes.readUInt16LE(2 * i), type);
  }
  if (!values.every(Number.isFinite)) {
    throw new EngineError('model_corrupt', `Tensor ${name} has values that are not finite.`);
  }
  return values;
}

const BITS = new DataView(new ArrayBuffer(4));

function halfValue(bits: number, type: StoredTensor['type']): number {
  if (type === 'BF16') {
    BITS.setUint32(0, bits << 16);
    return BITS.getFloat32(0);
  }
  const sign = bits >> 15 === 1 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
