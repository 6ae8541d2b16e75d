import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { f32, safetensors, type Tensor, type Tensors, u16 } from '../../../test/support/safetensors.ts';
import { AdapterError, type BaseModelShape, readAdapter } from '../index.ts';

const model: BaseModelShape = {
  layerCount: 2,
  projection: (module) => ({ in: module === 'down_proj' ? 6 : 4, out: module.startsWith('up') ? 6 : 4 }),
};

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'polylora-adapters-'));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

const nameOf = (layer: number, side: string) =>
  `base_model.model.model.layers.${layer}.self_attn.q_proj.lora_${side}.weight`;
const A0 = nameOf(0, 'A');
const B1 = nameOf(1, 'B');
const config = {
  peft_type: 'LORA',
  r: 2,
  lora_alpha: 4,
  target_modules: ['q_proj'],
  base_model_name_or_path: 'base/x',
};
const tensors = (): Tensors => ({
  [A0]: f32([2, 4], (index) => index),
  [nameOf(0, 'B')]: f32([4, 2], (index) => -index),
  [nameOf(1, 'A')]: f32([2, 4], () => 65504),
  [B1]: f32([4, 2], () => 1e-30),
});

let count = 0;
/** Writes an adapter's folder; null leaves a file out. */
function write(options: object | string | null, weights: Tensors | Uint8Array | null, name?: string): string {
  count += 1;
  const directory = join(root, name ?? `adapter-${count}`);
  mkdirSync(directory);
  if (options !== null) {
    const text = typeof options === 'string' ? options : JSON.stringify(options);
    writeFileSync(join(directory, 'adapter_config.json'), text);
  }
  if (weights !== null) {
    const bytes = weights instanceof Uint8Array ? weights : safetensors(weights);
    writeFileSync(join(directory, 'adapter_model.safetensors'), bytes);
  }
  return directory;
}

async function refusal(directory: string): Promise<AdapterError> {
  const error = await readAdapter(directory, model).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(AdapterError);
  return error as AdapterError;
}

describe('a valid adapter', () => {
  test('is read with the place of every tensor', async () => {
    const directory = write(config, tensors(), 'support.v1');
    const file = join(directory, 'adapter_model.safetensors');
    utimesSync(file, 1_700_000_000.9, 1_700_000_000.9);
    const adapter = await readAdapter(directory, model);
    const dataBegin = safetensors(tensors()).length - 128;
    expect(adapter).toEqual({
      name: 'support.v1',
      kind: 'LoRA',
      task: 'generate',
      config: expect.stringContaining('lora_alpha') as string,
      digest: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      createdAt: 1_700_000_000,
      files: [{ path: file, bytes: dataBegin + 128, modifiedMs: statSync(file).mtimeMs }],
      modules: [0, 1].map((layer) => ({
        layer,
        module: 'q_proj',
        lowRank: [
          {
            rank: 2,
            scale: 2,
            a: { tensor: { file: 0, dtype: 'F32', shape: [2, 4], begin: dataBegin + 64 * layer } },
            b: { tensor: { file: 0, dtype: 'F32', shape: [4, 2], begin: dataBegin + 64 * layer + 32 } },
          },
        ],
      })),
    });
  });

  test('may have ranks and types of its own for each module', async () => {
    const mixed = {
      ...config,
      use_rslora: true,
      rank_pattern: { 'layers.1.self_attn.q_proj': 4 },
      alpha_pattern: { 'layers.0.*': 6 },
    };
    const weights = {
      ...tensors(),
      [A0]: u16('F16', [2, 4], 0x7bff),
      [nameOf(0, 'B')]: u16('BF16', [4, 2], 0xc77f),
      [nameOf(1, 'A')]: f32([4, 4], () => 1),
      [B1]: f32([4, 4], () => 1),
    };
    const { modules } = await readAdapter(write(mixed, weights), model);
    const changes = modules.flatMap(({ lowRank }) => lowRank);
    expect(changes.map(({ rank, scale, a, b }) => [rank, scale, a.tensor.dtype, b.tensor.dtype])).toEqual([
      [2, 6 / Math.sqrt(2), 'F16', 'BF16'],
      [4, 2, 'F32', 'F32'],
    ]);
  });

  test('may have tensors of many read chunks', async () => {
    const wide: BaseModelShape = { layerCount: 1, projection: () => ({ in: 1_000_000, out: 3 }) };
    const values = f32([2, 1_000_000], () => 0.5);
    const weights = { [A0]: values, [nameOf(0, 'B')]: f32([3, 2], () => 1) };
    expect((await readAdapter(write(config, weights), wide)).modules).toHaveLength(1);
    new Float32Array(values.bytes.buffer)[1_999_999] = Number.NaN;
    const error = await readAdapter(write(config, weights), wide).catch((thrown: unknown) => thrown);
    expect((error as AdapterError).issues).toEqual([
      { where: A0, message: 'holds NaN at row 1, column 999999' },
    ]);
  });
});

describe('the digest', () => {
  const digestOf = async (options: object, weights: Tensors) =>
    (await readAdapter(write(options, weights), model)).digest;

  test('is the same for the same content, however it is written down', async () => {
    const original = await digestOf(config, tensors());
    const reversed = Object.fromEntries(Object.entries(tensors()).reverse());
    const renamed = Object.fromEntries(
      Object.entries(tensors()).map(([name, tensor]) => [name.replace('.weight', '.default.weight'), tensor]),
    );
    const rewritten = {
      ...Object.fromEntries(Object.entries(config).reverse()),
      lora_dropout: 0.5,
      alpha_pattern: null,
    };
    expect(await digestOf(config, reversed)).toBe(original);
    expect(await digestOf(config, renamed)).toBe(original);
    expect(await digestOf(rewritten, tensors())).toBe(original);
    expect(await digestOf({ ...config, lora_alpha: 1, alpha_pattern: { '.*': 4 } }, tensors())).toBe(
      original,
    );
  });

  test('is another for another scale, value, type, rank or module', async () => {
    const zeros = (shape: readonly [number, number]) => f32(shape, () => 0);
    const all = [
      await digestOf(config, tensors()),
      await digestOf({ ...config, lora_alpha: 5 }, tensors()),
      await digestOf(config, { ...tensors(), [B1]: f32([4, 2], (index) => (index === 7 ? 2e-30 : 1e-30)) }),
      await digestOf(config, { ...tensors(), [B1]: zeros([4, 2]) }),
      await digestOf(config, {
        ...tensors(),
        [B1]: { ...zeros([4, 2]), dtype: 'F16', bytes: new Uint8Array(16) },
      }),
      await digestOf(
        { ...config, target_modules: ['k_proj'] },
        Object.fromEntries(
          Object.entries(tensors()).map(([name, tensor]) => [name.replace('q_proj', 'k_proj'), tensor]),
        ),
      ),
    ];
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('tensors are refused by their names', () => {
  const without = (name: string) =>
    Object.fromEntries(Object.entries(tensors()).filter(([key]) => key !== name));
  const unknown = 'base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector';
  const rotary = 'base_model.model.model.layers.0.mlp.q_proj.lora_A.weight';
  const beyond = nameOf(2, 'A');
  const value = f32([2, 4], () => 1);
  test.each<[what: string, weights: Tensors, where: string, message: string]>([
    ['a missing side', without(B1), B1, 'is missing'],
    ['an unknown tensor', { ...tensors(), [unknown]: value }, unknown, 'not a LoRA tensor'],
    ['a module in the wrong block', { ...tensors(), [rotary]: value }, rotary, 'leaves out'],
    ['a layer that the base has not', { ...tensors(), [beyond]: value }, beyond, 'made for another model'],
    [
      'an untargeted module',
      { ...tensors(), [A0.replace('q_', 'v_')]: value },
      A0.replace('q_', 'v_'),
      'leaves out',
    ],
    [
      'a side twice',
      { ...tensors(), [A0.replace('weight', 'default.weight')]: value },
      A0.replace('weight', 'default.weight'),
      'is there twice',
    ],
    ['another rank', { ...tensors(), [A0]: f32([3, 4], () => 1) }, A0, 'need [2, 4]'],
    ['rank 0', { ...tensors(), [A0]: f32([0, 4], () => 1) }, A0, 'has shape [0, 4]'],
    ['another width', { ...tensors(), [B1]: f32([5, 2], () => 1) }, B1, 'need [4, 2]'],
    ['A transposed', { ...tensors(), [A0]: f32([4, 2], () => 1) }, A0, 'has shape [4, 2]'],
    ['one dimension', { ...tensors(), [A0]: { ...value, shape: [8] } }, A0, 'has shape [8]'],
    ['another type', { ...tensors(), [A0]: { ...value, dtype: 'I32' } }, A0, 'has dtype I32'],
  ])('%s', async (_what, weights, where, message) => {
    const error = await refusal(write(config, weights));
    expect(error.code).toBe('adapter_tensors_invalid');
    expect(error.issues).toEqual([{ where, message: expect.stringContaining(message) as string }]);
    expect(error.message).toContain(where);
  });

  test('all of a file at once', async () => {
    const error = await refusal(write({ ...config, target_modules: ['q_proj', 'k_proj'] }, without(B1)));
    expect(error.issues).toHaveLength(5);
  });

  test('up to a hundred of them, with control characters escaped', async () => {
    const many = Object.fromEntries(
      Array.from({ length: 1000 }, (_, index) => [
        `\u001b[31m\n${index}`,
        { ...value, shape: [0], bytes: new Uint8Array() },
      ]),
    );
    const error = await refusal(write(config, many));
    expect(error.issues).toHaveLength(100);
    expect(error.message).not.toMatch(/\p{Cc}/u);
    expect(error.message.length).toBeLessThan(3_000);
  });
});

describe('values are refused, with tensor and place named,', () => {
  test.each<[what: string, tensor: Tensor, message: string]>([
    ['NaN in F32', f32([2, 4], (index) => (index === 6 ? Number.NaN : 0)), 'holds NaN at row 1, column 2'],
    [
      'Infinity in F32',
      f32([2, 4], (index) => (index === 0 ? -Infinity : 0)),
      'holds an infinite value at row 0, column 0',
    ],
    ['more than 65504 in F32', f32([2, 4], (index) => (index === 1 ? -65504.004 : 0)), 'holds -65504.00'],
    ['NaN in F16', u16('F16', [2, 4], 0x7e01), 'holds NaN at row 1, column 3'],
    ['Infinity in F16', u16('F16', [2, 4], 0xfc00), 'holds an infinite value at row 1, column 3'],
    ['NaN in BF16', u16('BF16', [2, 4], 0xffc0), 'holds NaN at row 1, column 3'],
    ['Infinity in BF16', u16('BF16', [2, 4], 0x7f80), 'holds an infinite value at row 1, column 3'],
    [
      'more than 65504 in BF16',
      u16('BF16', [2, 4], 0x4780),
      "holds 65536 at row 1, column 3, beyond float16's 65504",
    ],
  ])('%s', async (_what, tensor, message) => {
    const error = await refusal(write(config, { ...tensors(), [A0]: tensor }));
    expect(error.code).toBe('adapter_values_invalid');
    expect(error.issues).toEqual([{ where: A0, message: expect.stringContaining(message) as string }]);
  });
});

describe('files', () => {
  test('that are missing are named', async () => {
    expect((await refusal(write(null, tensors()))).message).toContain('adapter_config.json: is missing');
    expect((await refusal(write(config, null))).message).toContain('adapter_model.safetensors: is missing');
    expect((await refusal(join(root, 'nowhere'))).code).toBe('adapter_unreadable');
  });

  test.each(['bin', 'pt', 'pkl'])('of pickle (.%s) are refused, with what to do', async (extension) => {
    const directory = write(config, null);
    writeFileSync(join(directory, `adapter_model.${extension}`), Buffer.from('80028a0a6cfc9c46f9', 'hex'));
    const error = await refusal(directory);
    expect(error.code).toBe('pickle_refused');
    expect(error.message).toContain('safe_serialization=True');
  });

  test('of pickle in the clothes of safetensors are refused', async () => {
    for (const hex of ['504b03040000080800000000000000000000', '8002637379730a65786974']) {
      expect((await refusal(write(config, Buffer.from(hex, 'hex')))).code).toBe('pickle_refused');
    }
  });

  test('of safetensors that are malformed keep their code, those with a huge header are not read', async () => {
    const cut = safetensors(tensors()).subarray(0, -1);
    expect((await refusal(write(config, cut))).code).toBe('safetensors_out_of_bounds');
    const huge = Buffer.alloc(8);
    huge.writeBigUInt64LE(90_000_000n);
    expect((await refusal(write(config, huge))).code).toBe('safetensors_header_too_large');
  });

  test('of configuration that are wrong are refused with every option named', async () => {
    const error = await refusal(write({ ...config, lora_bias: true, bias: 'all' }, tensors()));
    expect(error.code).toBe('adapter_config_invalid');
    expect(error.issues.map(({ where }) => where).sort()).toEqual(['bias', 'lora_bias']);
    expect((await refusal(write('{', tensors()))).code).toBe('adapter_config_invalid');
    expect((await refusal(write(`"${'x'.repeat(2 << 20)}"`, tensors()))).code).toBe('adapter_unreadable');
  });

  test('that are links out of the folder are refused, links inside it are followed', async () => {
    const secret = write(config, tensors());
    const outside = write(config, null);
    symlinkSync(join(secret, 'adapter_model.safetensors'), join(outside, 'adapter_model.safetensors'));
    expect((await refusal(outside)).code).toBe('adapter_path_refused');
    const inside = write(config, null);
    writeFileSync(join(inside, 'weights'), safetensors(tensors()));
    symlinkSync('weights', join(inside, 'adapter_model.safetensors'));
    expect((await readAdapter(inside, model)).modules).toHaveLength(2);
  });

  test('spliced at random are refused or sound, nothing else', async () => {
    const directory = write(config, null);
    const original = safetensors(tensors());
    const splice = fc.tuple(fc.nat(original.length), fc.nat(8), fc.uint8Array({ maxLength: 8 }));
    await fc.assert(
      fc.asyncProperty(splice, async ([at, remove, insert]) => {
        const bytes = Buffer.concat([original.subarray(0, at), insert, original.subarray(at + remove)]);
        writeFileSync(join(directory, 'adapter_model.safetensors'), bytes);
        const result = await readAdapter(directory, model).catch((thrown: unknown) => thrown);
        if (!(result instanceof AdapterError))
          expect(result).toMatchObject({ modules: [{ lowRank: [{ rank: 2 }] }, { lowRank: [{ rank: 2 }] }] });
      }),
      { numRuns: 1_000 },
    );
  });
});
