import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSafetensorsHeader } from '@polylora/safetensors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convertToGguf } from '../../benchmarks/src/adapters/gguf-adapter.ts';
import { writeRandomAdapter } from '../../benchmarks/src/adapters/random-adapter.ts';
import { readGgufHeader } from '../../engine/src/model/gguf.ts';

const RANK = 2;
const ROW_BYTES = RANK * 2;
const HEAD_ROWS = 64;

describe("an adapter converted for llama.cpp's side of a comparison", () => {
  let folder: string;
  let gguf: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'polylora-gguf-adapter-'));
    gguf = join(folder, 'adapter.gguf');
    writeRandomAdapter(join(folder, 'peft'), RANK, 1);
    await convertToGguf(join(folder, 'peft'), gguf);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** The same tensor's bytes in both files. */
  async function both(ggufName: string, peftName: string) {
    const { tensors } = await readGgufHeader(gguf);
    const converted = tensors.find(({ name }) => name === ggufName);
    const file = join(folder, 'peft', 'adapter_model.safetensors');
    const source = (await readSafetensorsHeader(file)).tensors.get(`base_model.model.model.${peftName}`);
    if (converted === undefined || source === undefined) throw new Error('no such tensor');
    const bytes = readFileSync(gguf).subarray(converted.offset, converted.offset + source.end - source.begin);
    return { converted, bytes, source: readFileSync(file).subarray(source.begin, source.end) };
  }

  it('has both tensors of all seven projections in every layer, and says what it is', async () => {
    const { metadata, tensors } = await readGgufHeader(gguf);
    expect(tensors).toHaveLength(30 * 7 * 2);
    expect(Object.fromEntries(metadata)).toEqual({
      'general.architecture': 'llama',
      'general.type': 'adapter',
      'adapter.type': 'lora',
      'adapter.lora.alpha': RANK,
    });
  });

  it("keeps A's rows as they are, and B's but for queries and keys", async () => {
    const a = await both('blk.3.attn_q.weight.lora_a', 'layers.3.self_attn.q_proj.lora_A.weight');
    expect(a.converted).toMatchObject({ type: 'F16', dimensions: [576, RANK] });
    expect(a.bytes.equals(a.source)).toBe(true);
    const b = await both('blk.29.ffn_down.weight.lora_b', 'layers.29.mlp.down_proj.lora_B.weight');
    expect(b.converted).toMatchObject({ type: 'F16', dimensions: [RANK, 576] });
    expect(b.bytes.equals(b.source)).toBe(true);
  });

  it('interleaves the two halves of each head of queries and keys', async () => {
    const { bytes, source } = await both(
      'blk.0.attn_k.weight.lora_b',
      'layers.0.self_attn.k_proj.lora_B.weight',
    );
    const row = (of: Buffer, index: number) =>
      of.subarray(index * ROW_BYTES, (index + 1) * ROW_BYTES).toString('hex');
    for (const head of [0, 2]) {
      const first = head * HEAD_ROWS;
      expect(row(bytes, first)).toBe(row(source, first));
      expect(row(bytes, first + 1)).toBe(row(source, first + HEAD_ROWS / 2));
      expect(row(bytes, first + 2)).toBe(row(source, first + 1));
      expect(row(bytes, first + HEAD_ROWS - 1)).toBe(row(source, first + HEAD_ROWS - 1));
    }
  });
});
