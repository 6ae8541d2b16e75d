import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { f32, i32, safetensors, type Tensors, u8, u16 } from '../../../../test/support/safetensors.ts';
import { type Adapter, AdapterError, type BaseModelShape, readAdapter } from '../../index.ts';

const model: BaseModelShape = {
  layerCount: 2,
  projection: (module) => ({ in: module === 'down_proj' ? 16 : 8, out: module === 'k_proj' ? 4 : 8 }),
};

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'polylora-methods-'));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

let count = 0;
function read(config: object, tensors: Tensors): Promise<Adapter> {
  count += 1;
  const directory = join(root, `adapter-${count}`);
  mkdirSync(directory);
  writeFileSync(join(directory, 'adapter_config.json'), JSON.stringify(config));
  writeFileSync(join(directory, 'adapter_model.safetensors'), safetensors(tensors));
  return readAdapter(directory, model);
}

async function issues(config: object, tensors: Tensors) {
  const error = await read(config, tensors).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(AdapterError);
  return (error as AdapterError).issues;
}

const one = () => 1;
const Q = (layer: number) => `base_model.model.model.layers.${layer}.self_attn.q_proj`;
const K = (layer: number) => `base_model.model.model.layers.${layer}.self_attn.k_proj`;
const DOWN = (layer: number) => `base_model.model.model.layers.${layer}.mlp.down_proj`;
/** The same for both layers. */
const both = (of: (layer: number) => Tensors): Tensors => ({ ...of(0), ...of(1) });

interface Method {
  readonly name: string;
  readonly config: object;
  tensors(): Tensors;
  /** What it does to the first module. */
  readonly first: object;
}

const METHODS: readonly Method[] = [
  {
    name: 'DoRA',
    config: { peft_type: 'LORA', r: 2, use_dora: true, use_rslora: true, target_modules: ['q_proj'] },
    tensors: () =>
      both((layer) => ({
        [`${Q(layer)}.lora_A.weight`]: f32([2, 8], one),
        [`${Q(layer)}.lora_B.weight`]: f32([8, 2], one),
        [`${Q(layer)}.lora_magnitude_vector`]: f32([8], one),
      })),
    first: {
      lowRank: [{ rank: 2, scale: 8 / Math.sqrt(2) }],
      output: { kind: 'magnitude', magnitudes: { shape: [1, 8] } },
    },
  },
  {
    name: '(IA)³',
    config: { peft_type: 'IA3', target_modules: ['k_proj', 'down_proj'], feedforward_modules: ['down_proj'] },
    tensors: () =>
      both((layer) => ({
        [`${K(layer)}.ia3_l`]: f32([4, 1], one),
        [`${DOWN(layer)}.ia3_l`]: f32([1, 16], one),
      })),
    first: { lowRank: [], output: { kind: 'scale', factors: { shape: [1, 4] } } },
  },
  {
    name: 'RoAd 1',
    config: { peft_type: 'ROAD', group_size: 4, target_modules: ['q_proj'] },
    tensors: () =>
      both((layer) => ({
        [`${Q(layer)}.road_theta`]: f32([4], one),
        [`${Q(layer)}.road_alpha`]: f32([4], one),
      })),
    first: { output: { kind: 'rotation', variant: 1, groupSize: 4, angles: { shape: [1, 4] } } },
  },
  {
    name: 'RoAd 4',
    config: { peft_type: 'ROAD', variant: 'road_4', group_size: 8, target_modules: ['q_proj'] },
    tensors: () =>
      both((layer) => ({
        [`${Q(layer)}.road_theta`]: f32([16], one),
        [`${Q(layer)}.road_alpha`]: f32([16], one),
      })),
    first: { output: { kind: 'rotation', variant: 4, groupSize: 8, scales: { shape: [1, 16] } } },
  },
  {
    name: 'VeRA',
    config: { peft_type: 'VERA', r: 3, save_projection: true, target_modules: ['q_proj', 'k_proj'] },
    tensors: () => ({
      'base_model.vera_A': f32([3, 9], one),
      'base_model.vera_B': f32([8, 3], one),
      ...both((layer) => ({
        [`${Q(layer)}.vera_lambda_d`]: f32([3], one),
        [`${Q(layer)}.vera_lambda_b`]: f32([8], one),
        [`${K(layer)}.vera_lambda_d`]: f32([3], one),
        [`${K(layer)}.vera_lambda_b`]: f32([4], one),
      })),
    }),
    first: {
      lowRank: [
        {
          rank: 3,
          scale: 1,
          a: { tensor: { shape: [3, 9] }, rowScales: { shape: [1, 3] } },
          b: { tensor: { shape: [8, 3] }, rowScales: { shape: [1, 8] } },
        },
      ],
    },
  },
  {
    name: 'MoS',
    config: { peft_type: 'MOS', r: 2, lora_alpha: 4, shards_per_rank: 2, target_modules: ['q_proj'] },
    tensors: () => ({
      'base_model.mos_pool_a.q_proj': f32([5, 4], one),
      'base_model.mos_pool_b.q_proj': f32([3, 4], one),
      ...both((layer) => ({
        [`${Q(layer)}.mos_index_a.weight`]: i32([2, 2], (index) => index + 1),
        [`${Q(layer)}.mos_index_b.weight`]: i32([2, 2], (index) => index % 3),
      })),
    }),
    first: {
      lowRank: [
        {
          rank: 2,
          scale: 2,
          a: { tensor: { shape: [5, 4] }, pieces: { dtype: 'I32', shape: [2, 2] } },
          b: { tensor: { shape: [3, 4] }, pieces: { dtype: 'I32', shape: [2, 2] } },
        },
      ],
    },
  },
  {
    name: 'a delta',
    config: {
      peft_type: 'POLYLORA_DELTA',
      r: 1,
      rank_pattern: { 'layers.1.*': 0 },
      format: 1,
      target_modules: ['q_proj'],
    },
    tensors: () => ({
      [`${Q(0)}.lora_A.weight`]: u16('F16', [1, 8], 0),
      [`${Q(0)}.lora_B.weight`]: u16('F16', [8, 1], 0),
      [`${Q(0)}.input_scales`]: f32([1, 8], one),
      ...both((layer) => ({
        [`${Q(layer)}.delta_codes`]: u8([8, 2], (index) => 214 - index),
        [`${Q(layer)}.delta_scales`]: f32([1, 8], one),
      })),
    }),
    first: {
      input: { shape: [1, 8] },
      lowRank: [{ rank: 1, scale: 1 }],
      sparse: { codes: { dtype: 'U8', shape: [8, 2] }, scales: { shape: [1, 8] } },
    },
  },
];

describe.each(METHODS)('$name', ({ config, tensors, first }) => {
  test('is read', async () => {
    const adapter = await read(config, tensors());
    expect(adapter.modules[0]).toMatchObject({ layer: 0, ...first });
  });

  test('has a digest that follows every option and value', async () => {
    const { digest } = await read(config, tensors());
    expect((await read(config, tensors())).digest).toBe(digest);
    const digests = new Set([digest]);
    for (const [name, tensor] of Object.entries(tensors())) {
      const bytes = tensor.bytes.map((byte, index) => (index === 0 ? byte ^ 1 : byte));
      digests.add((await read(config, { ...tensors(), [name]: { ...tensor, bytes } })).digest);
    }
    expect(digests.size).toBe(1 + Object.keys(tensors()).length);
  });

  test('is refused with every tensor named that is missing, of another shape or not finite', async () => {
    for (const [name, tensor] of Object.entries(tensors())) {
      if (name.endsWith('input_scales')) continue;
      const { [name]: _, ...others } = tensors();
      expect((await issues(config, others))[0]).toMatchObject({
        where: name,
        message: expect.stringContaining('is missing') as string,
      });
      const longer = { ...tensor, shape: [...tensor.shape, 1, 1] };
      expect((await issues(config, { ...tensors(), [name]: longer }))[0]).toMatchObject({
        where: name,
        message: expect.stringMatching(/has shape .* need/) as string,
      });
      // Of all ones: NaN, a negative index, or an unknown code.
      const bytes = tensor.bytes.map(() => 0xff);
      expect(await issues(config, { ...tensors(), [name]: { ...tensor, bytes } })).toEqual([
        { where: name, message: expect.stringMatching(/holds (NaN|-1|255) at row 0, column 0/) as string },
      ]);
    }
  });

  test('is refused with a tensor that has no place', async () => {
    const extra = { 'base_model.model.model.layers.0.self_attn.q_proj.lora_C.weight': f32([1, 1], one) };
    const [issue] = await issues(config, { ...tensors(), ...extra });
    expect(issue?.where).toBe(Object.keys(extra)[0]);
  });
});

describe('refused by its name', () => {
  const dora = METHODS[0]!;
  const ia3 = METHODS[1]!;
  const road = METHODS[2]!;
  const vera = METHODS[4]!;
  const mos = METHODS[5]!;
  const delta = METHODS[6]!;
  test.each<[string, Method, object, string]>([
    ['a magnitude without use_dora', dora, { use_dora: false }, `${Q(0)}.lora_magnitude_vector`],
    ['(IA)³ without modules', ia3, { target_modules: null }, 'target_modules'],
    ['(IA)³ with chosen layers', ia3, { layers_to_transform: [1] }, 'layers_to_transform'],
    ['(IA)³ with a rank', ia3, { r: 4 }, 'r'],
    ['an odd group', road, { group_size: 3 }, 'group_size'],
    ['a group that does not divide', road, { group_size: 6 }, 'group_size'],
    ['a variant of the future', road, { variant: 'road_8' }, 'variant'],
    ['VeRA with biases', vera, { bias: 'vera_only' }, 'bias'],
    ['shards that do not divide', mos, { shards_per_rank: 3 }, 'shards_per_rank'],
    ['shards of rank 0', mos, { r: 0 }, 'r'],
    ['shards scaled beyond what is finite', mos, { lora_alpha: 1e39 }, 'lora_alpha'],
    ['another format of deltas', delta, { format: 2 }, 'format'],
    ['a negative rank of deltas', delta, { r: -1 }, 'r'],
  ])('%s', async (_what, { config, tensors }, change, where) => {
    const found = await issues({ ...config, ...change }, tensors());
    expect(found.map((issue) => issue.where)).toContain(where);
  });

  // A small part of them would be used, and all of them read whenever the adapter is.
  test.each<[string, Method, string, readonly number[]]>([
    ['VeRA’s A wider than any module', vera, 'base_model.vera_A', [3, 17]],
    ['VeRA’s B longer than any module', vera, 'base_model.vera_B', [17, 3]],
    ['more shards than ranks have room for', mos, 'base_model.mos_pool_a.q_proj', [9, 4]],
  ])('%s', async (_what, { config, tensors }, name, shape) => {
    const found = await issues(config, { ...tensors(), [name]: f32(shape, one) });
    expect(found[0]).toMatchObject({ where: name, message: expect.stringContaining('has shape') as string });
  });

  test.each<[string, Tensors, string]>([
    [
      'VeRA’s A scaled beyond float16',
      { 'base_model.vera_A': f32([3, 9], (index) => (index === 12 ? -40_000 : 1)) },
      `${K(1)}.vera_lambda_d`,
    ],
    [
      'VeRA’s B scaled beyond float16',
      { 'base_model.vera_B': u16('F16', [8, 3], 0x7bff) },
      `${Q(1)}.vera_lambda_b`,
    ],
  ])('%s', async (_what, shared, name) => {
    const tensors = { ...vera.tensors(), ...shared };
    await expect(read(vera.config, tensors)).resolves.toMatchObject({ kind: 'VeRA' });
    const { shape } = tensors[name]!;
    const last = shape[0]! - 1;
    const scaled = (by: number) =>
      f32(shape, (index) => ((name.endsWith('_d') ? index === 1 : index === last) ? by : 1));
    await expect(read(vera.config, { ...tensors, [name]: scaled(1.0001) })).resolves.toBeDefined();
    const row = name.endsWith('_d') ? 1 : last;
    expect(await issues(vera.config, { ...tensors, [name]: scaled(-2) })).toEqual([
      { where: name, message: `scales row ${row} beyond float16's 65504` },
    ]);
  });

  test('VeRA without its shared matrices, with what to do', async () => {
    const { 'base_model.vera_A': _, ...others } = vera.tensors();
    const found = await issues({ ...vera.config, save_projection: false }, others);
    expect(found).toHaveLength(1);
    expect(found[0]?.message).toContain('save_projection=True');
  });
});
