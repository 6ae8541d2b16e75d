/**
 * Reads the header of a GGUF file (versions 2 and 3, little-endian): metadata and where each tensor lies.
 * Every count, length and offset is checked against the file before it is used.
 *
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { type FileHandle, open } from 'node:fs/promises';
import { EngineError } from '../types.ts';
import type { TensorType } from './decoder.ts';
import { GgufCursor, OutOfBytes } from './gguf-cursor.ts';

export type GgufValue = string | number | boolean | readonly GgufValue[];

export interface GgufTensor {
  readonly name: string;
  readonly type: TensorType;
  /** Innermost dimension first, as GGUF has it: [columns, rows]. */
  readonly dimensions: readonly number[];
  /** Of the first byte, from the start of the file. */
  readonly offset: number;
}

export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly GgufTensor[];
}

interface TypeTraits {
  readonly name: TensorType;
  readonly blockLength: number;
  readonly blockBytes: number;
}

/** ggml's type numbers. */
const TENSOR_TYPES = new Map<number, TypeTraits>([
  [0, { name: 'F32', blockLength: 1, blockBytes: 4 }],
  [1, { name: 'F16', blockLength: 1, blockBytes: 2 }],
  [2, { name: 'Q4_0', blockLength: 32, blockBytes: 18 }],
  [3, { name: 'Q4_1', blockLength: 32, blockBytes: 20 }],
  [8, { name: 'Q8_0', blockLength: 32, blockBytes: 34 }],
  [12, { name: 'Q4_K', blockLength: 256, blockBytes: 144 }],
  [14, { name: 'Q6_K', blockLength: 256, blockBytes: 210 }],
  [30, { name: 'BF16', blockLength: 1, blockBytes: 2 }],
]);

/** Types that exist but are not read here, for the message that refuses them. */
// biome-ignore format: a table
const OTHER_TYPES: Readonly<Record<number, string>> = {
  6: 'Q5_0', 7: 'Q5_1', 9: 'Q8_1', 10: 'Q2_K', 11: 'Q3_K', 13: 'Q5_K', 15: 'Q8_K', 16: 'IQ2_XXS', 17: 'IQ2_XS',
  18: 'IQ3_XXS', 19: 'IQ1_S', 20: 'IQ4_NL', 21: 'IQ3_S', 22: 'IQ2_S', 23: 'IQ4_XS', 24: 'I8', 25: 'I16',
  26: 'I32', 27: 'I64', 28: 'F64', 29: 'IQ1_M', 34: 'TQ1_0', 35: 'TQ2_0', 39: 'MXFP4',
};

const FIRST_READ = 16 * 2 ** 20;
const LONGEST_HEADER = 2 ** 28;
const DEFAULT_ALIGNMENT = 32;
const MAX_DIMENSIONS = 4;

/**
 * @throws EngineError `model_corrupt` where the file breaks the format, `model_not_supported` for a tensor type
 * or version that is not read, each with the file's name.
 */
export async function readGgufHeader(file: string): Promise<GgufHeader> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    return await readHeader(handle, size);
  } catch (error) {
    if (error instanceof OutOfBytes)
      throw new EngineError('model_corrupt', `${file}: the GGUF header is cut short.`);
    if (error instanceof EngineError) throw new EngineError(error.code, `${file}: ${error.message}`);
    throw error;
  } finally {
    await handle.close();
  }
}

/** The header's length is nowhere stated: reads more of the file until it is whole. */
async function readHeader(handle: FileHandle, fileSize: number): Promise<GgufHeader> {
  for (let length = FIRST_READ; ; length *= 4) {
    const bytes = Buffer.alloc(Math.min(length, fileSize, LONGEST_HEADER));
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
    try {
      return parseGgufHeader(bytes.subarray(0, bytesRead), fileSize);
    } catch (error) {
      if (!(error instanceof OutOfBytes) || bytes.length >= Math.min(fileSize, LONGEST_HEADER)) throw error;
    }
  }
}

/**
 * Parses a header from the first bytes of a file that is `fileSize` bytes long.
 *
 * @throws OutOfBytes where `bytes` end before the header does.
 */
export function parseGgufHeader(bytes: Uint8Array, fileSize: number): GgufHeader {
  const cursor = new GgufCursor(bytes, fileSize);
  if (cursor.bytes(4) !== 'GGUF') throw new EngineError('model_corrupt', 'this is not a GGUF file.');
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    throw new EngineError('model_not_supported', `GGUF version ${version} is not supported; 2 and 3 are.`);
  }
  const tensorCount = cursor.count(24);
  const metadataCount = cursor.count(13);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < metadataCount; i++) {
    const key = cursor.string();
    if (metadata.has(key)) throw new EngineError('model_corrupt', `the metadata has ${key} twice.`);
    metadata.set(key, cursor.value(cursor.u32()));
  }
  const tensors = Array.from({ length: tensorCount }, () => readTensorInfo(cursor));
  const dataStart = alignUp(cursor.position, alignmentOf(metadata));
  return { metadata, tensors: placeTensors(tensors, dataStart, fileSize) };
}

interface TensorInfo {
  readonly name: string;
  readonly dimensions: readonly number[];
  readonly type: number;
  /** From the start of the data section. */
  readonly offset: number;
}

function readTensorInfo(cursor: GgufCursor): TensorInfo {
  const name = cursor.string();
  const rank = cursor.u32();
  if (rank < 1 || rank > MAX_DIMENSIONS) {
    throw new EngineError('model_corrupt', `tensor ${name} has ${rank} dimensions.`);
  }
  const dimensions = Array.from({ length: rank }, () => cursor.u64());
  return { name, dimensions, type: cursor.u32(), offset: cursor.u64() };
}

function placeTensors(infos: readonly TensorInfo[], dataStart: number, fileSize: number): GgufTensor[] {
  const names = new Set<string>();
  return infos.map(({ name, dimensions, type, offset }) => {
    if (names.has(name)) throw new EngineError('model_corrupt', `tensor ${name} is there twice.`);
    names.add(name);
    const traits = TENSOR_TYPES.get(type);
    if (traits === undefined) {
      const supported = [...TENSOR_TYPES.values()].map((t) => t.name).join(', ');
      throw new EngineError(
        'model_not_supported',
        `tensor ${name} is stored as ${OTHER_TYPES[type] ?? `type ${type}`}; supported are ${supported}.`,
      );
    }
    const values = dimensions.reduce((product, dimension) => product * dimension, 1);
    const length = (values / traits.blockLength) * traits.blockBytes;
    const begin = dataStart + offset;
    const wholeBlocks = Number.isSafeInteger(values) && dimensions[0]! % traits.blockLength === 0;
    if (!wholeBlocks || values === 0 || !Number.isSafeInteger(begin + length) || begin + length > fileSize) {
      throw new EngineError(
        'model_corrupt',
        `tensor ${name} (${dimensions.join('×')} of ${traits.name} at ${begin}) does not lie in its file.`,
      );
    }
    return { name, type: traits.name, dimensions, offset: begin };
  });
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>): number {
  const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  if (typeof alignment !== 'number' || alignment < 1 || alignment > 2 ** 20 || alignment % 8 !== 0) {
    throw new EngineError('model_corrupt', `general.alignment is ${String(alignment)}.`);
  }
  return alignment;
}

function alignUp(position: number, alignment: number): number {
  return Math.ceil(position / alignment) * alignment;
}
