/** The kinds of adapters that PEFT writes and the engine can batch, and two of our own (MoS, deltas of fine-tunes). */
import type { AdaptedModule, ProjectionShape } from '../../types.ts';
import type { TargetModule } from '../targeting.ts';
import type { TensorFinder } from '../tensor-finder.ts';
import { type DeltaMethod, deltaModule, deltaRank } from './delta.ts';
import { type Ia3Method, ia3Module } from './ia3.ts';
import { type LoraMethod, loraModule, rankAndScale } from './lora.ts';
import { type MosMethod, mosModule } from './mos.ts';
import { type RoadMethod, roadModule } from './road.ts';
import { type VeraMethod, veraModule } from './vera.ts';

export type AdapterMethod = LoraMethod | Ia3Method | RoadMethod | VeraMethod | MosMethod | DeltaMethod;

/** What an adapter does to a module, or null where the finder has noted what is wrong with its tensors. */
export function adaptedModule(
  method: AdapterMethod,
  target: TargetModule,
  shape: ProjectionShape,
  tensors: TensorFinder,
): AdaptedModule | null {
  switch (method.kind) {
    case 'LoRA':
      return loraModule(method, target, shape, tensors);
    case '(IA)³':
      return ia3Module(method, target, shape, tensors);
    case 'RoAd':
      return roadModule(method, target, shape, tensors);
    case 'VeRA':
      return veraModule(method, target, shape, tensors);
    case 'MoS':
      return mosModule(method, target, shape, tensors);
    case 'delta':
      return deltaModule(method, target, shape, tensors);
  }
}

/** What users call it. */
export function kindOf(method: AdapterMethod): string {
  if (method.kind !== 'LoRA') return method.kind;
  return method.dora ? 'DoRA' : method.rslora ? 'rsLoRA' : 'LoRA';
}

/** The rank of a method's low-rank part in a module; 0 where it has none. */
export function rankOf(method: AdapterMethod, { name }: TargetModule): number {
  switch (method.kind) {
    case 'LoRA':
      return rankAndScale(method, name).rank;
    case 'VeRA':
    case 'MoS':
      return method.rank;
    case 'delta':
      return deltaRank(method, name);
    case '(IA)³':
    case 'RoAd':
      return 0;
  }
}
