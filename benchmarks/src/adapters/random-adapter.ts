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
  const header: Record<string, { dtype: 'F16'; shape: [number, number]; data_offsets: [number, number] }> =
    {};
  let bytes = 0;
  const add = (name: string, shape: [number, number]) => {
    const end = bytes + shape[0] * shape[1] * 2;
    header[name] = { dtype: 'F16', shape, data_offsets: [bytes, end] };
    bytes = end;
  };
  for (let layer = 0; layer < SHAPE.layerCount; layer++) {
    for (const module of modules) {
      const prefix = `base_model.model.model.layers.${layer}.${parentOf(module)}.${module}`;
      add(`${prefix}.lora_A.weight`, [rank, PROJECTIONS[module].in]);
      add(`${prefix}.lora_B.weight`, [PROJECTIONS[module].out, rank]);
    }
  }
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify(config(rank, modules), null, 2));
  writeFileSync(
    join(folder, 'adapter_model.safetensors'),
    Buffer.concat([encode(header), weights(bytes, seed)]),
  );
}

function parentOf(module: LoraModule): string {
  return ['gate_proj', 'up_proj', 'down_proj'].includes(module) ? 'mlp' : 'self_attn';
}

function config(rank: number, modules: readonly LoraModule[]) {
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    r: rank,
    lora_alpha: rank,
    target_modules: modules,
    bias: 'none',
  };
}

/** A safetensors header: its length as a 64-bit integer, then JSON padded to a multiple of eight bytes. */
function encode(header: object): Buffer {
  const json = JSON.stringify(header);
  const padded = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded]);
}

/** Numbers of either sign from 2⁻⁸ up to 2⁻⁷, written as float16 bits: random sign and fraction, fixed exponent. */
function weights(bytes: number, seed: number): Buffer {
  const values = new Uint16Array(bytes / 2);
  const exponent = (15 - 8) << 10;
  let state = seed * 2_654_435_761 + 1;
  for (let index = 0; index < values.length; index++) {
    // xorshift32 (Marsaglia, 2003).
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[index] = (state & 0x83ff) | exponent;
  }
  return Buffer.from(values.buffer);
}
