import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StoredTensor } from '../model/decoder.ts';
import { tensorValues } from './tensor-values.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'polylora-tensor-'));
});
afterAll(() => rm(directory, { recursive: true }));

async function read(type: StoredTensor['type'], bytes: Uint8Array, cols: number): Promise<number[]> {
  const file = join(directory, type);
  await writeFile(file, bytes);
  const handle = await open(file, 'r');
  try {
    return [...(await tensorValues(handle, { name: 't', file, offset: 0, type, rows: 1, cols }))];
  } finally {
    await handle.close();
  }
}

const halves = (...bits: number[]) => new Uint8Array(Uint16Array.from(bits).buffer);

test('reads every type of float', async () => {
  const floats = new Uint8Array(Float32Array.of(1.5, -3e-20).buffer);
  expect(await read('F32', floats, 2)).toEqual([1.5, Math.fround(-3e-20)]);
  expect(await read('BF16', halves(0x3f80, 0xc0a0), 2)).toEqual([1, -5]);
  // One, the largest, the smallest normal and subnormal numbers, and −0.
  const f16 = await read('F16', halves(0x3c00, 0x7bff, 0x0400, 0x0001, 0x8000), 5);
  expect(f16).toEqual([1, 65_504, 2 ** -14, 2 ** -24, -0]);
});

test('refuses values that are not finite, and a file that ends too early', async () => {
  await expect(read('F16', halves(0x7c00), 1)).rejects.toMatchObject({ code: 'model_corrupt' });
  await expect(read('BF16', halves(0x7fc0), 1)).rejects.toMatchObject({ code: 'model_corrupt' });
  await expect(read('F32', halves(0), 1)).rejects.toMatchObject({ code: 'model_corrupt' });
});
