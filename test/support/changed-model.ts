import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensorsHeader } from '@polylora/safetensors';

/** Changes a tensor's values in place. */
export type Change = (name: string, values: Float32Array, columns: number) => void;

/** Writes a copy of a float32 model in Hugging Face's format with some of its tensors changed. @returns the folder */
export async function changedModel(source: string, folder: string, change: Change): Promise<string> {
  cpSync(source, folder, { recursive: true });
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.safetensors'))) {
    const file = join(folder, name);
    const bytes = readFileSync(file);
    for (const tensor of (await readSafetensorsHeader(file)).tensors.values()) {
      if (tensor.dtype !== 'F32') throw new Error(`${tensor.name} is ${tensor.dtype}`);
      const values = new Float32Array(new Uint8Array(bytes.subarray(tensor.begin, tensor.end)).buffer);
      change(tensor.name, values, tensor.shape[1] ?? 1);
      Buffer.from(values.buffer).copy(bytes, tensor.begin);
    }
    writeFileSync(file, bytes);
  }
  return folder;
}

/** Numbers from -1 to 1 of mean 0, the same in every run. */
export function noise(seed: number, index: number): number {
  const x = Math.sin(seed * 12.9898 + index * 78.233) * 43758.5453;
  return 2 * (x - Math.floor(x)) - 1;
}
