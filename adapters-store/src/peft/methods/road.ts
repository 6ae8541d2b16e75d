/** RoAd, 2D rotary adaptation (Liao & Monz, 2024), as `RoadConfig` of PEFT 0.21 has it: pairs of outputs rotated and scaled. */
import { z } from 'zod';
import type { AdaptedModule, ProjectionShape } from '../../types.ts';
import type { TargetModule } from '../targeting.ts';
import type { TensorFinder } from '../tensor-finder.ts';

export interface RoadMethod {
  readonly kind: 'RoAd';
  readonly variant: 1 | 2 | 4;
  readonly groupSize: number;
}

export const ROAD_WITHOUT_EFFECT = ['init_weights'];
const VARIANTS = { road_1: 1, road_2: 2, road_4: 4 } as const;

export function roadOptions() {
  return {
    variant: z.enum(['road_1', 'road_2', 'road_4']).default('road_1'),
    group_size: z.int().min(2).multipleOf(2, 'must be even').default(64),
  };
}

export function readRoad(options: z.infer<z.ZodObject<ReturnType<typeof roadOptions>>>): RoadMethod {
  return { kind: 'RoAd', variant: VARIANTS[options.variant], groupSize: options.group_size };
}

export function roadModule(
  { variant, groupSize }: RoadMethod,
  { layer, module, name }: TargetModule,
  shape: ProjectionShape,
  tensors: TensorFinder,
): AdaptedModule | null {
  if (shape.out % groupSize !== 0) {
    tensors.refuse('group_size', `${groupSize} does not divide the ${shape.out} outputs of ${name}`);
  }
  const length = variant === 1 ? shape.out / 2 : variant === 2 ? shape.out : shape.out * 2;
  const angles = tensors.vector(`${name}.road_theta`, length);
  const scales = tensors.vector(`${name}.road_alpha`, length);
  if (angles === null || scales === null) return null;
  return { layer, module, lowRank: [], output: { kind: 'rotation', variant, groupSize, angles, scales } };
}
