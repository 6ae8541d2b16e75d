import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readVector } from '@polylora/engine-native';
import { readSafetensorsHeader } from '@polylora/safetensors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Change, changedModel, noise } from '../../../test/support/changed-model.ts';
import type { DecoderModel } from '../model/decoder.ts';
import { readHuggingFace } from '../model/hugging-face.ts';
import { type CompressOptions, compressFineTune } from './compress.ts';
import { DeltaError } from './delta-error.ts';
import { projectionsOf, tensorOf } from './projections.ts';

const MODELS = join(import.meta.dirname, '..', '..', '..', 'test', 'fixtures', 'models');
const BASE = join(MODELS, 'llama-tied');
const LEVELS = [-110, -68, -35, 35, 68, 110];
const PAIRS = [
  [0, 1],
  [0, 2],
  [0, 3],
  [1, 2],
  [1, 3],
  [2, 3],
] as const;

let root: string;
let count = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'polylora-delta-'));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

const fresh = (name: string) => join(root, `${name}-${count++}`);

const tuned = (change: Change, source = BASE) => changedModel(source, fresh('tuned'), change);

function options(model: string, more: Partial<CompressOptions> = {}): CompressOptions {
  const size = { rank: 2 };
  const keep = { keepBaseEmbeddings: false, keepBaseBiases: false };
  return { tuned: model, base: BASE, folder: fresh('out'), home: join(root, 'home'), size, ...keep, ...more };
}

async function refusal(wanted: CompressOptions): Promise<DeltaError> {
  const error = await compressFineTune(wanted).catch((thrown: unknown) => thrown);
  if (!(error instanceof DeltaError)) throw error;
  expect(readdirSync(root).filter((name) => name.includes('.tmp'))).toEqual([]);
  return error;
}

/** The tensors of a written adapter, by name. */
async function readBack(
  folder: string,
): Promise<Map<string, { dtype: string; shape: readonly number[]; bytes: Buffer }>> {
  const file = join(folder, 'adapter_model.safetensors');
  const bytes = readFileSync(file);
  const { tensors } = await readSafetensorsHeader(file);
  return new Map(
    [...tensors.values()].map(({ name, dtype, shape, begin, end }) => [
      name,
      { dtype, shape, bytes: bytes.subarray(begin, end) },
    ]),
  );
}

function half(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 15, (bits >> 10) & 31, bits & 1023];
  const value = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return sign === 1 ? -value : value;
}

/** The delta of a projection, as its format says. */
function rebuild(
  tensors: Awaited<ReturnType<typeof readBack>>,
  name: string,
  outputs: number,
  inputs: number,
): Float64Array {
  const of = (tensor: string) => tensors.get(`base_model.model.${name}.${tensor}`)?.bytes;
  const [codes, scales, a, b] = [
    of('delta_codes'),
    of('delta_scales'),
    of('lora_A.weight'),
    of('lora_B.weight'),
  ];
  const rank = (a?.length ?? 0) / 2 / inputs;
  const delta = new Float64Array(outputs * inputs);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      for (let j = 0; j < rank; j++) {
        delta[o * inputs + i]! +=
          half(b!.readUInt16LE(2 * (o * rank + j))) * half(a!.readUInt16LE(2 * (j * inputs + i)));
      }
    }
    for (let group = 0; group < inputs / 4; group++) {
      const code = codes![o * (inputs / 4) + group]!;
      if (code === 216) continue;
      const pair = PAIRS[Math.floor(code / 36)]!;
      const scale = scales!.readFloatLE(4 * o);
      delta[o * inputs + 4 * group + pair[0]]! += scale * LEVELS[Math.floor(code / 6) % 6]!;
      delta[o * inputs + 4 * group + pair[1]]! += scale * LEVELS[code % 6]!;
    }
  }
  return delta;
}

const weights = async (model: DecoderModel, name: string) => readVector(tensorOf(model, `${name}.weight`));

describe('compressFineTune', () => {
  it('writes an adapter whose tensors are the change, as near as it says', async () => {
    const model = await tuned((name, values) => {
      if (!name.includes('_proj')) return;
      for (let i = 0; i < values.length; i++) values[i]! += 0.01 * noise(name.length, i);
    });
    const wanted = options(model);
    const progress: number[] = [];
    const report = await compressFineTune({ ...wanted, onProgress: (done) => progress.push(done) });
    expect(progress).toEqual(Array.from({ length: 15 }, (_, index) => index));
    expect(JSON.parse(readFileSync(join(wanted.folder, 'adapter_config.json'), 'utf8'))).toEqual({
      peft_type: 'POLYLORA_DELTA',
      task_type: 'CAUSAL_LM',
      base_model_name_or_path: 'llama-tied',
      r: 2,
      target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
      format: 1,
    });
    expect(readFileSync(join(wanted.folder, 'adapter_model.safetensors'))).toHaveLength(report.fileBytes);
    const tensors = await readBack(wanted.folder);
    const [before, after] = [await readHuggingFace(BASE), await readHuggingFace(model)];
    let [all, left] = [0, 0];
    for (const { name, inputs, outputs } of projectionsOf(before)) {
      expect(tensors.get(`base_model.model.${name}.delta_codes`)).toMatchObject({
        dtype: 'U8',
        shape: [outputs, inputs / 4],
      });
      expect(tensors.get(`base_model.model.${name}.delta_scales`)).toMatchObject({
        dtype: 'F32',
        shape: [1, outputs],
      });
      expect(tensors.get(`base_model.model.${name}.lora_A.weight`)).toMatchObject({
        dtype: 'F16',
        shape: [2, inputs],
      });
      expect(tensors.get(`base_model.model.${name}.lora_B.weight`)).toMatchObject({
        dtype: 'F16',
        shape: [outputs, 2],
      });
      expect(tensors.has(`base_model.model.${name}.input_scales`)).toBe(false);
      const [old, now] = [await weights(before, name), await weights(after, name)];
      const delta = rebuild(tensors, name, outputs, inputs);
      for (const [index, value] of delta.entries()) {
        const exact = now[index]! - old[index]!;
        all += exact ** 2;
        left += (exact - value) ** 2;
      }
    }
    expect(Math.sqrt(left / all)).toBeCloseTo(report.relativeError, 4);
    // Uniform noise: the two largest of four have most of it.
    expect(report.relativeError).toBeGreaterThan(0.2);
    expect(report.relativeError).toBeLessThan(0.5);
    expect(report.leftOut).toEqual([]);
  });

  it('finds no change between the same model in two formats', async () => {
    const { relativeError, kinds } = await compressFineTune(options(join(MODELS, 'gguf', 'llama-f32.gguf')));
    expect(relativeError).toBe(0);
    expect(kinds.every((kind) => kind.relativeError === 0)).toBe(true);
  });

  it('carries changed norms as factors of the inputs behind them', async () => {
    const model = await tuned((name, values) => {
      if (name.endsWith('1.post_attention_layernorm.weight')) values[3]! *= 1.5;
    });
    const wanted = options(model, { size: { rank: 0 } });
    await compressFineTune(wanted);
    const tensors = await readBack(wanted.folder);
    const scaled = [...tensors.keys()].filter((name) => name.endsWith('input_scales'));
    expect(scaled.sort()).toEqual(
      ['gate_proj', 'up_proj'].map((module) => `base_model.model.model.layers.1.mlp.${module}.input_scales`),
    );
    const { bytes } = tensors.get(scaled[0]!)!;
    const factors = Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(4 * index));
    expect(factors.every((factor, index) => Math.abs(factor - (index === 3 ? 1.5 : 1)) < 1e-6)).toBe(true);
    expect([...tensors.keys()].some((name) => name.includes('lora'))).toBe(false);
  });

  it('keeps a size', async () => {
    const model = await tuned((name, values) => {
      if (name.includes('_proj')) values[0]! += 0.1;
    });
    const report = await compressFineTune(options(model, { size: { target: 2.5 } }));
    expect(report.compression).toBeGreaterThanOrEqual(2.5);
    expect(report.compression).toBeLessThan(3);
    const error = await refusal(options(model, { size: { target: 7.9 } }));
    expect(error.code).toBe('size_not_possible');
    expect(error.message).toMatch(/at most \d\.\d+ times smaller than float16, not 7.9/);
  });

  it('is the same in every run', async () => {
    const model = await tuned((name, values) => {
      if (name.includes('_proj')) values[7]! += 0.1;
    });
    const [a, b] = [options(model), options(model)];
    await compressFineTune(a);
    await compressFineTune(b);
    const content = ({ folder }: CompressOptions) => readFileSync(join(folder, 'adapter_model.safetensors'));
    expect(content(a).equals(content(b))).toBe(true);
  });

  it('refuses another architecture or shape, naming what differs', async () => {
    const error = await refusal(options(join(MODELS, 'qwen3')));
    expect(error.code).toBe('not_a_fine_tune');
    expect(error.message).toContain("architecture is qwen3, the base's llama");
    const config = await tuned(() => {});
    const file = join(config, 'config.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace(/"rope_theta": [\d.]+/, '"rope_theta": 77777'));
    expect((await refusal(options(config))).message).toContain('rotary frequencies');
  });

  it('refuses changes that it does not carry, unless told to keep the base', async () => {
    const model = await tuned((name, values) => {
      if (name === 'model.embed_tokens.weight') values.set(values.map((value) => value * 1.1));
    });
    const error = await refusal(options(model));
    expect(error.code).toBe('change_not_carried');
    expect(error.message).toContain(
      "model.embed_tokens.weight by 10 %. --keep-base-embeddings keeps the base's.",
    );
    const { leftOut } = await compressFineTune(options(model, { keepBaseEmbeddings: true }));
    expect(leftOut).toEqual([
      { name: 'model.embed_tokens.weight', relativeDifference: expect.closeTo(0.1, 5) as number },
    ]);
  });

  it('refuses changed biases, unless told to keep the base', async () => {
    const base = join(MODELS, 'qwen2-narrow');
    const model = await tuned((name, values) => {
      if (name.endsWith('0.self_attn.k_proj.bias')) values.fill(9);
    }, base);
    const error = await refusal(options(model, { base }));
    expect(error.message).toMatch(/self_attn.k_proj.bias by \d+ %. --keep-base-biases/);
    expect((await compressFineTune(options(model, { base, keepBaseBiases: true }))).leftOut).toHaveLength(1);
  });

  it('leaves what is there alone, but an empty folder', async () => {
    const folder = fresh('out');
    mkdirSync(folder);
    writeFileSync(join(folder, 'mine'), '');
    expect((await refusal(options(BASE, { folder }))).code).toBe('output_exists');
    expect(readdirSync(folder)).toEqual(['mine']);
    expect((await refusal(options(BASE, { folder: join(folder, 'mine') }))).code).toBe('output_exists');
    rmSync(join(folder, 'mine'));
    await compressFineTune(options(BASE, { folder }));
    expect(existsSync(join(folder, 'adapter_config.json'))).toBe(true);
  });

  it('refuses a rank that is larger than a side', async () => {
    const error = await refusal(options(BASE, { size: { rank: 4000 } }));
    expect(error.code).toBe('size_not_possible');
    expect(error.message).toContain('larger than a side of model.layers.0.self_attn.q_proj');
  });
});
