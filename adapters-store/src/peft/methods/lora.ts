/** LoRA (Hu et al., 2021), rsLoRA (Kalajdzievski, 2023) and DoRA (Liu et al., 2024), as `LoraConfig` of PEFT 0.21 has them. */
import { z } from 'zod';
import type { AdapterIssue } from '../../errors.ts';
import type { AdaptedModule, ProjectionShape } from '../../types.ts';
import {
  type ByPattern,
  byModule,
  byPattern,
  LARGEST_SCALE,
  type OptionsOf,
  onlyWithoutBias,
  positiveRank,
} from '../options.ts';
import type { PatternCompiler } from '../pattern.ts';
import type { TargetModule } from '../targeting.ts';
import type { TensorFinder } from '../tensor-finder.ts';

export interface LoraMethod {
  readonly kind: 'LoRA';
  readonly rank: number;
  readonly alpha: number;
  readonly rankPattern: ByPattern;
  readonly alphaPattern: ByPattern;
  readonly rslora: boolean;
  readonly dora: boolean;
}

/**
 * Ways to initialise that leave the base model as it is, so that the saved weights are all there is. The others
 * (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) train against a changed base.
 */
const SUPPORTED_INITIALISATIONS = ['gaussian', 'eva', 'orthogonal', 'mica'];

/** Options that say nothing about what the trained weights do. */
export const LORA_WITHOUT_EFFECT = [
  'lora_dropout', // in training only
  'megatron_core', // without megatron_config
  'merge_weights', // of PEFT before 0.3
  'qalora_group_size', // without use_qalora
];

export function loraOptions(patterns: PatternCompiler) {
  return {
    r: positiveRank.default(8),
    lora_alpha: z.number().default(8),
    rank_pattern: byModule(patterns, positiveRank),
    alpha_pattern: byModule(patterns, z.number()),
    use_rslora: z.boolean().nullish(),
    use_dora: z.boolean().nullish(),
    bias: onlyWithoutBias,
    init_lora_weights: z
      .union([z.boolean(), z.string()])
      .nullish()
      .refine((init) => typeof init !== 'string' || SUPPORTED_INITIALISATIONS.includes(init.toLowerCase()), {
        error: ({ input }) =>
          `${JSON.stringify(input)} is not supported: only true, false, ${SUPPORTED_INITIALISATIONS.join(', ')} are known to ` +
          'leave the base model unchanged; PEFT converts PiSSA, OLoRA, CorDA and LoRA-GA adapters on saving with ' +
          'path_initial_model_for_weight_conversion',
      }),
  };
}

export function readLora(options: OptionsOf<typeof loraOptions>): LoraMethod {
  return {
    kind: 'LoRA',
    rank: options.r,
    alpha: options.lora_alpha,
    rankPattern: options.rank_pattern,
    alphaPattern: options.alpha_pattern,
    rslora: options.use_rslora ?? false,
    dora: options.use_dora ?? false,
  };
}

/** As PEFT's `get_pattern_key` and `LoraLayer.update_layer` have them. */
export function rankAndScale(method: LoraMethod, name: string): { rank: number; scale: number } {
  const rank = byPattern(method.rankPattern, name) ?? method.rank;
  const alpha = byPattern(method.alphaPattern, name) ?? method.alpha;
  return { rank, scale: alpha / (method.rslora ? Math.sqrt(rank) : rank) };
}

/** A scale that leaves nothing finite. */
export function unusableScale(method: LoraMethod, targets: readonly TargetModule[]): AdapterIssue | null {
  for (const { name } of targets) {
    const { scale } = rankAndScale(method, name);
    if (Math.abs(scale) > LARGEST_SCALE)
      return { where: 'lora_alpha', message: `scales ${name} by ${scale}, beyond ${LARGEST_SCALE}` };
  }
  return null;
}

export function loraModule(
  method: LoraMethod,
  { layer, module, name }: TargetModule,
  shape: ProjectionShape,
  tensors: TensorFinder,
): AdaptedModule | null {
  const { rank, scale } = rankAndScale(method, name);
  const a = tensors.matrix(`${name}.lora_A.weight`, rank, shape.in);
  const b = tensors.matrix(`${name}.lora_B.weight`, shape.out, rank);
  const magnitudes = method.dora ? tensors.vector(`${name}.lora_magnitude_vector`, shape.out) : undefined;
  if (a === null || b === null || magnitudes === null) return null;
  return {
    layer,
    module,
    lowRank: [{ rank, scale, a: { tensor: a }, b: { tensor: b } }],
    ...(magnitudes !== undefined && { output: { kind: 'magnitude', magnitudes } }),
  };
}
