import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LORA_MODULES, type LoraModule } from '@polylora/engine';
import { PROJECTIONS, SHAPE } from '../default-model.ts';

/** Writes distinct random adapters of one rank, a folder each. @returns their names */
export function writeRandomAdapters(folder: string, count: number, rank: number): string[] {
  const names = Array.from({ length: count }, (_, index) => `random-${index}`);
  for (const [index, name] of names.entries()) writeRandomAdapter(join(folder, name), rank, index + 1);
  return names;
}

/**
 * Writes an adapter on some projections of every layer in PEFT format, float16, with small random weights that are the
 * same for the same seed.
 */
export function writeRandomAdapter(
  folder: string,
  rank: number,
  seed: number,
  modules: readonly LoraModule[] = LORA_MODULES,
): void {
  const tensors = forEachModule(modules, (prefix, { in: inputs, out }) => [
    { name: `${prefix}.lora_A.weight`, dtype: 'F16', shape: [rank, inputs] },
    { name: `${prefix}.lora_B.weight`, dtype: 'F16', shape: [out, rank] },
  ]);
  const config = { peft_type: 'LORA', r: rank, lora_alpha: rank, target_modules: modules, bias: 'none' };
  writeTensors(folder, config, tensors, seed);
}

/** A tensor of random values: small halves of either sign, bytes up to 215, or floats around one. */
export interface RandomTensor {
  readonly name: string;
  readonly dtype: 'F16' | 'U8' | 'F32';
  readonly shape: readonly number[];
}

/** The tensors of each module in every layer. */
export function forEachModule(
  modules: readonly LoraModule[],
  tensors: (prefix: string, shape: { readonly in: number; readonly out: number }) => readonly RandomTensor[],
): RandomTensor[] {
  return Array.from({ length: SHAPE.layerCount }, (_, layer) =>
    modules.flatMap((module) =>
      tensors(`base_model.model.model.layers.${layer}.${parentOf(module)}.${module}`, PROJECTIONS[module]),
    ),
  ).flat();
}

/** Writes an adapter of random tensors in PEFT format. */
export function writeTensors(
  folder: string,
  config: object,
  tensors: readonly RandomTensor[],
  seed: number,
): void {
  let bytes = 0;
  const header: Record<string, object> = {};
  for (const { name, dtype, shape } of tensors) {
    const end = bytes + shape.reduce((product, size) => product * size, BYTES[dtype]);
    header[name] = { dtype, shape, data_offsets: [bytes, end] };
    bytes = end;
  }
  const random = randomBits(seed);
  const values = tensors.map(({ dtype, shape }) => {
    return randomValues(
      dtype,
      shape.reduce((product, size) => product * size, 1),
      random,
    );
  });
  mkdirSync(folder, { recursive: true });
  const whole = {
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    ...config,
  };
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify(whole, null, 2));
  writeFileSync(join(folder, 'adapter_model.safetensors'), Buffer.concat([encode(header), ...values]));
}

const BYTES = { F16: 2, U8: 1, F32: 4 } as const;

function parentOf(module: LoraModule): string {
  return ['gate_proj', 'up_proj', 'down_proj'].includes(module) ? 'mlp' : 'self_attn';
}

/** A safetensors header: its length as a 64-bit integer, then JSON padded to a multiple of eight bytes. */
function encode(header: object): Buffer {
  const json = JSON.stringify(header);
  const padded = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded]);
}

/** xorshift32 (Marsaglia, 2003). */
function randomBits(seed: number): () => number {
  let state = seed * 2_654_435_761 + 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
}

function randomValues(dtype: RandomTensor['dtype'], count: number, random: () => number): Buffer {
  switch (dtype) {
    case 'F16': {
      // From 2⁻⁸ up to 2⁻⁷: random sign and fraction, fixed exponent.
      const exponent = (15 - 8) << 10;
      const values = new Uint16Array(count);
      for (let index = 0; index < count; index++) values[index] = (random() & 0x83ff) | exponent;
      return Buffer.from(values.buffer);
    }
    case 'U8': {
      const values = new Uint8Array(count);
      for (let index = 0; index < count; index++) values[index] = (random() >>> 1) % 216;
      return Buffer.from(values.buffer);
    }
    case 'F32': {
      const values = new Float32Array(count);
      for (let index = 0; index < count; index++) values[index] = 1 + ((random() & 0xff) - 128) / 4096;
      return Buffer.from(values.buffer);
    }
  }
}
