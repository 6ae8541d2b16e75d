/**
 * What a fine-tune of the whole model changed, compressed (after DeltaZip, Yao et al., 2023): low-rank and sparse parts, and factors
 * of inputs for changed norms. `polylora adapters compress` writes it; docs/adapter-formats.md describes it.
 */
import { z } from 'zod';
import type { AdaptedModule, ProjectionShape } from '../../types.ts';
import { type ByPattern, byModule, byPattern, type OptionsOf } from '../options.ts';
import type { PatternCompiler } from '../pattern.ts';
import type { TargetModule } from '../targeting.ts';
import type { TensorFinder } from '../tensor-finder.ts';

export interface DeltaMethod {
  readonly kind: 'delta';
  /** May be 0. */
  readonly rank: number;
  readonly rankPattern: ByPattern;
}

const FORMAT = 1;
/** Inputs that a code stands for. */
const INPUTS_OF_CODE = 4;
const rank = z.int().min(0);

export function deltaOptions(patterns: PatternCompiler) {
  return {
    r: rank,
    rank_pattern: byModule(patterns, rank),
    format: z.literal(FORMAT, {
      error: ({ input }) => `${JSON.stringify(input)} is not known, only ${FORMAT}`,
    }),
  };
}

export function readDelta(options: OptionsOf<typeof deltaOptions>): DeltaMethod {
  return { kind: 'delta', rank: options.r, rankPattern: options.rank_pattern };
}

export function deltaRank(method: DeltaMethod, name: string): number {
  return byPattern(method.rankPattern, name) ?? method.rank;
}

export function deltaModule(
  method: DeltaMethod,
  { layer, module, name }: TargetModule,
  shape: ProjectionShape,
  tensors: TensorFinder,
): AdaptedModule | null {
  if (shape.in % INPUTS_OF_CODE !== 0) {
    tensors.refuse('target_modules', `${name} has ${shape.in} inputs, and codes stand for four each`);
    return null;
  }
  const rankHere = deltaRank(method, name);
  const a = rankHere === 0 ? undefined : tensors.matrix(`${name}.lora_A.weight`, rankHere, shape.in);
  const b = rankHere === 0 ? undefined : tensors.matrix(`${name}.lora_B.weight`, shape.out, rankHere);
  const codes = tensors.matrix(`${name}.delta_codes`, shape.out, shape.in / INPUTS_OF_CODE, 'code');
  const scales = tensors.vector(`${name}.delta_scales`, shape.out);
  const inputs = `${name}.input_scales`;
  const input = tensors.has(inputs) ? tensors.vector(inputs, shape.in) : undefined;
  if (a === null || b === null || codes === null || scales === null || input === null) return null;
  const lowRank = a && b ? [{ rank: rankHere, scale: 1, a: { tensor: a }, b: { tensor: b } }] : [];
  return { layer, module, ...(input !== undefined && { input }), lowRank, sparse: { codes, scales } };
}
