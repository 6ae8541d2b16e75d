import { EngineError } from '../types.ts';
import type { GgufValue } from './gguf.ts';

/** The bytes at hand end before the value does; more of the file may help. */
export class OutOfBytes extends Error {}

/** GGUF's metadata value types, by number. */
const ValueType = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const;

/** The least a value of each type takes, in bytes, by number. */
const LEAST_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8];

const DEEPEST_ARRAY = 4;

/** Reads GGUF's little-endian values one after the other, never beyond the bytes it was given. */
export class GgufCursor {
  readonly #buffer: Buffer;
  readonly #fileSize: number;
  #position = 0;

  /** `bytes` are the first of a file of `fileSize` bytes. */
  constructor(bytes: Uint8Array, fileSize: number) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fileSize = fileSize;
  }

  get position(): number {
    return this.#position;
  }

  bytes(length: number): string {
    return this.#buffer.toString('latin1', this.#take(length), this.#position);
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#take(4));
  }

  /** Refuses what a double cannot hold exactly: no length, offset or count is that large. */
  u64(): number {
    const value = this.#buffer.readBigUInt64LE(this.#take(8));
    if (value > Number.MAX_SAFE_INTEGER) throw new EngineError('model_corrupt', `${value} is out of range.`);
    return Number(value);
  }

  /** A number of things to follow, each of at least `leastBytes`. */
  count(leastBytes: number): number {
    const count = this.u64();
    if (count * leastBytes > this.#fileSize) {
      throw new EngineError('model_corrupt', `a count of ${count} does not fit the file.`);
    }
    return count;
  }

  string(): string {
    const length = this.count(1);
    return this.#buffer.toString('utf8', this.#take(length), this.#position);
  }

  value(type: number, depth = 0): GgufValue {
    const buffer = this.#buffer;
    switch (type) {
      case ValueType.uint8:
        return buffer.readUInt8(this.#take(1));
      case ValueType.int8:
        return buffer.readInt8(this.#take(1));
      case ValueType.uint16:
        return buffer.readUInt16LE(this.#take(2));
      case ValueType.int16:
        return buffer.readInt16LE(this.#take(2));
      case ValueType.uint32:
        return this.u32();
      case ValueType.int32:
        return buffer.readInt32LE(this.#take(4));
      case ValueType.float32:
        return buffer.readFloatLE(this.#take(4));
      case ValueType.bool:
        return buffer.readUInt8(this.#take(1)) !== 0;
      case ValueType.string:
        return this.string();
      case ValueType.array:
        return this.#array(depth);
      case ValueType.uint64:
        return Number(buffer.readBigUInt64LE(this.#take(8)));
      case ValueType.int64:
        return Number(buffer.readBigInt64LE(this.#take(8)));
      case ValueType.float64:
        return buffer.readDoubleLE(this.#take(8));
      default:
        throw new EngineError('model_corrupt', `a metadata value has the unknown type ${type}.`);
    }
  }

  #array(depth: number): GgufValue[] {
    const type = this.u32();
    const count = this.count(LEAST_BYTES[type] ?? 1);
    if (depth >= DEEPEST_ARRAY)
      throw new EngineError('model_corrupt', 'metadata arrays are nested too deep.');
    const values: GgufValue[] = [];
    for (let i = 0; i < count; i++) values.push(this.value(type, depth + 1));
    return values;
  }

  /** Moves on by `length` bytes and returns where they start. */
  #take(length: number): number {
    const start = this.#position;
    if (length > this.#buffer.length - start) throw new OutOfBytes();
    this.#position = start + length;
    return start;
  }
}
