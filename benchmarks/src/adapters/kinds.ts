import { LORA_MODULES, type LoraModule } from '@polylora/engine';
import { PROJECTIONS } from '../default-model.ts';
import { forEachModule, type RandomTensor, writeRandomAdapter, writeTensors } from './random-adapter.ts';

/** A kind of adapters, as large as people usually train it. */
export interface Kind {
  readonly name: string;
  readonly what: string;
  write(folder: string, seed: number): void;
}

const RANK = 16;
const ATTENTION: readonly LoraModule[] = ['q_proj', 'v_proj'];
const IA3: readonly LoraModule[] = ['k_proj', 'v_proj', 'down_proj'];
const GROUP = 64;
const VERA_RANK = 256;
const DELTA_RANK = 5;

const f32 = (name: string, ...shape: number[]): RandomTensor => ({ name, dtype: 'F32', shape });
const f16 = (name: string, ...shape: number[]): RandomTensor => ({ name, dtype: 'F16', shape });

export const KINDS: readonly Kind[] = [
  {
    name: 'LoRA',
    what: `rank ${RANK}, all seven projections`,
    write: (folder, seed) => writeRandomAdapter(folder, RANK, seed),
  },
  {
    name: 'DoRA',
    what: `rank ${RANK}, all seven projections`,
    write(folder, seed) {
      const tensors = forEachModule(LORA_MODULES, (prefix, { in: inputs, out }) => [
        f16(`${prefix}.lora_A.weight`, RANK, inputs),
        f16(`${prefix}.lora_B.weight`, out, RANK),
        f32(`${prefix}.lora_magnitude_vector`, out),
      ]);
      const config = { peft_type: 'LORA', use_dora: true, r: RANK, lora_alpha: RANK };
      writeTensors(folder, { ...config, target_modules: LORA_MODULES }, tensors, seed);
    },
  },
  {
    name: '(IA)³',
    what: 'keys, values and the feed-forward input, as PEFT chooses',
    write(folder, seed) {
      const tensors = forEachModule(IA3, (prefix, { in: inputs, out }) => {
        const isFeedForward = prefix.endsWith('down_proj');
        return [isFeedForward ? f32(`${prefix}.ia3_l`, 1, inputs) : f32(`${prefix}.ia3_l`, out, 1)];
      });
      const config = { peft_type: 'IA3', target_modules: IA3, feedforward_modules: ['down_proj'] };
      writeTensors(folder, config, tensors, seed);
    },
  },
  {
    name: 'RoAd',
    what: `road_1 in groups of ${GROUP}, all seven projections`,
    write(folder, seed) {
      const tensors = forEachModule(LORA_MODULES, (prefix, { out }) => [
        f32(`${prefix}.road_theta`, out / 2),
        f32(`${prefix}.road_alpha`, out / 2),
      ]);
      const config = { peft_type: 'ROAD', variant: 'road_1', group_size: GROUP };
      writeTensors(folder, { ...config, target_modules: LORA_MODULES }, tensors, seed);
    },
  },
  {
    name: 'VeRA',
    what: `rank ${VERA_RANK}, queries and values, PEFT's defaults`,
    write(folder, seed) {
      const widest = (side: 'in' | 'out') =>
        Math.max(...ATTENTION.map((module) => PROJECTIONS[module][side]));
      const tensors = [
        f16('base_model.vera_A', VERA_RANK, widest('in')),
        f16('base_model.vera_B', widest('out'), VERA_RANK),
        ...forEachModule(ATTENTION, (prefix, { out }) => [
          f32(`${prefix}.vera_lambda_d`, VERA_RANK),
          f32(`${prefix}.vera_lambda_b`, out),
        ]),
      ];
      writeTensors(folder, { peft_type: 'VERA', r: VERA_RANK, target_modules: ATTENTION }, tensors, seed);
    },
  },
  {
    name: 'delta',
    what: `a whole fine-tune: rank ${DELTA_RANK} and two of four inputs, all seven projections`,
    write(folder, seed) {
      const tensors = forEachModule(LORA_MODULES, (prefix, { in: inputs, out }) => [
        f16(`${prefix}.lora_A.weight`, DELTA_RANK, inputs),
        f16(`${prefix}.lora_B.weight`, out, DELTA_RANK),
        { name: `${prefix}.delta_codes`, dtype: 'U8', shape: [out, inputs / 4] },
        f32(`${prefix}.delta_scales`, 1, out),
      ]);
      const config = { peft_type: 'POLYLORA_DELTA', format: 1, r: DELTA_RANK };
      writeTensors(folder, { ...config, target_modules: LORA_MODULES }, tensors, seed);
    },
  },
];
