/**
 * Writes an adapter the way llama.cpp loads it, as its convert_lora_to_gguf.py would: the same numbers, so that
 * both sides of a comparison do the same work.
 *
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { type Adapter, readAdapter, type TensorLocation } from '@polylora/adapters-store';
import type { LoraModule } from '@polylora/engine';
import { PROJECTIONS, SHAPE } from '../default-model.ts';

const VERSION = 3;
const ALIGNMENT = 32;
const TYPE_F16 = 1;
const VALUE_F32 = 6;
const VALUE_STRING = 8;
const F16_BYTES = 2;

/** llama.cpp's names of the projections. */
const TENSOR_NAMES: Readonly<Record<LoraModule, string>> = {
  q_proj: 'attn_q',
  k_proj: 'attn_k',
  v_proj: 'attn_v',
  o_proj: 'attn_output',
  gate_proj: 'ffn_gate',
  up_proj: 'ffn_up',
  down_proj: 'ffn_down',
};

interface Tensor {
  readonly name: string;
  /** [rows, columns] */
  readonly shape: readonly [number, number];
  readonly data: Buffer;
}

/**
 * Reads an adapter of the default model in PEFT format and writes it as GGUF.
 * @throws AdapterError where it does not fit the model; Error unless its tensors are F16 and all pairs have one scale.
 */
export async function convertToGguf(peftFolder: string, ggufFile: string): Promise<void> {
  const shape = { layerCount: SHAPE.layerCount, projection: (module: LoraModule) => PROJECTIONS[module] };
  const adapter = await readAdapter(peftFolder, shape);
  writeFileSync(ggufFile, encodeGguf(alphaOf(adapter), tensorsOf(adapter)));
}

/** llama.cpp knows one alpha for the whole adapter and divides it by each pair's rank. */
function alphaOf({ name, modules }: Adapter): number {
  const alphas = new Set(modules.flatMap(({ lowRank }) => lowRank.map(({ scale, rank }) => scale * rank)));
  const [alpha] = alphas;
  if (alpha === undefined || alphas.size > 1) {
    throw new Error(`adapter ${name} has ${alphas.size} values of alpha; GGUF holds exactly one`);
  }
  return alpha;
}

function tensorsOf(adapter: Adapter): Tensor[] {
  const file = readFileSync(adapter.files[0].path);
  return adapter.modules.flatMap(({ layer, module, lowRank }) => {
    const { rank, a, b } = lowRank[0]!;
    const name = `blk.${layer}.${TENSOR_NAMES[module]}.weight`;
    return [
      { name: `${name}.lora_a`, shape: a.tensor.shape, data: read(file, a.tensor) },
      {
        name: `${name}.lora_b`,
        shape: b.tensor.shape,
        data: rotaryOrder(module, rank, read(file, b.tensor)),
      },
    ];
  });
}

function read(file: Buffer, { dtype, shape, begin }: TensorLocation): Buffer {
  if (dtype !== 'F16') throw new Error(`tensors of ${dtype} are not converted; F16 are`);
  return file.subarray(begin, begin + shape[0] * shape[1] * F16_BYTES);
}

/**
 * llama.cpp's Llama rotates neighbouring rows of the query and key projections where Hugging Face's rotates the two
 * halves of a head, so their rows are interleaved on conversion, and B's rows with them.
 */
function rotaryOrder(module: LoraModule, rank: number, data: Buffer): Buffer {
  if (module !== 'q_proj' && module !== 'k_proj') return data;
  const rowBytes = rank * F16_BYTES;
  const half = SHAPE.headDim / 2;
  const rows = Array.from({ length: PROJECTIONS[module].out }, (_, row) => {
    const inHead = row % SHAPE.headDim;
    const source = row - inHead + (inHead % 2) * half + Math.floor(inHead / 2);
    return data.subarray(source * rowBytes, (source + 1) * rowBytes);
  });
  return Buffer.concat(rows);
}

function encodeGguf(alpha: number, tensors: readonly Tensor[]): Buffer {
  const metadata = [
    Buffer.concat([string('general.architecture'), u32(VALUE_STRING), string('llama')]),
    Buffer.concat([string('general.type'), u32(VALUE_STRING), string('adapter')]),
    Buffer.concat([string('adapter.type'), u32(VALUE_STRING), string('lora')]),
    Buffer.concat([string('adapter.lora.alpha'), u32(VALUE_F32), f32(alpha)]),
  ];
  const head = [Buffer.from('GGUF'), u32(VERSION), u64(tensors.length), u64(metadata.length)];
  let offset = 0;
  const infos = tensors.map(({ name, shape: [rows, columns], data }) => {
    const info = [string(name), u32(2), u64(columns), u64(rows), u32(TYPE_F16), u64(offset)];
    offset += data.length + padding(data.length).length;
    return Buffer.concat(info);
  });
  const header = Buffer.concat([...head, ...metadata, ...infos]);
  const body = tensors.flatMap(({ data }) => [data, padding(data.length)]);
  return Buffer.concat([header, padding(header.length), ...body]);
}

function padding(length: number): Buffer {
  return Buffer.alloc((ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT);
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}
