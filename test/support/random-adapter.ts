import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LORA_MODULES, type ModelInfo, projectionShape } from '@polylora/engine';

/**
 * Writes a PEFT adapter of random float32 weights on all seven projections.
 *
 * @param magnitude of the weights next to ordinary ones; at 50,000 each is still finite in f16 but activations overflow
 *   what f16 holds
 * @param scale of the product, 1 by default; at 60,000, with such weights, activations overflow what f32 holds
 */
export async function writeRandomAdapter(
  directory: string,
  model: ModelInfo,
  {
    rank,
    seed,
    magnitude = 1,
    scale = 1,
  }: { rank: number; seed: number; magnitude?: number; scale?: number },
): Promise<void> {
  const random = mulberry32(seed);
  const header: Record<string, { dtype: 'F32'; shape: [number, number]; data_offsets: [number, number] }> =
    {};
  const parts: Float32Array[] = [];
  let end = 0;
  const put = (name: string, rows: number, columns: number) => {
    const spread = (magnitude * 3) / Math.sqrt(columns);
    const values = Float32Array.from({ length: rows * columns }, () => (random() - 0.5) * spread);
    header[name] = { dtype: 'F32', shape: [rows, columns], data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
    parts.push(values);
  };
  for (let layer = 0; layer < model.layerCount; layer += 1) {
    for (const module of LORA_MODULES) {
      const shape = projectionShape(model, module);
      const block = /^[qkvo]_/.test(module) ? 'self_attn' : 'mlp';
      const name = `base_model.model.model.layers.${layer}.${block}.${module}`;
      put(`${name}.lora_A.weight`, rank, shape.in);
      put(`${name}.lora_B.weight`, shape.out, rank);
    }
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  await mkdir(directory, { recursive: true });
  await writeFile(
    join(directory, 'adapter_config.json'),
    JSON.stringify({
      peft_type: 'LORA',
      r: rank,
      lora_alpha: rank * scale,
      target_modules: LORA_MODULES,
      bias: 'none',
    }),
  );
  const bytes = parts.map((part) => new Uint8Array(part.buffer));
  await writeFile(join(directory, 'adapter_model.safetensors'), Buffer.concat([length, json, ...bytes]));
}

/** A small seeded generator of numbers in [0, 1): the same adapters in every run. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
