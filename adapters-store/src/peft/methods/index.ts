/** The kinds of adapters that PEFT writes and the engine can batch, and two of our own (MoS, deltas of fine-tunes). */
import type { AdapterIssue } from '../../errors.ts';
import type { AdaptedModule, BaseModelShape } from '../../types.ts';
import type { TargetModule } from '../targeting.ts';
import type { TensorFinder } from '../tensor-finder.ts';
import { type DeltaMethod, deltaModule, deltaRank } from './delta.ts';
import { type Ia3Method, ia3Module } from './ia3.ts';
import { type LoraMethod, loraModule, rankAndScale, unusableScale } from './lora.ts';
import { type MosMethod, mosModule, unusableMosScale } from './mos.ts';
import { type RoadMethod, roadModule } from './road.ts';
import { type VeraMethod, veraModule } from './vera.ts';

export type AdapterMethod = LoraMethod | Ia3Method | RoadMethod | VeraMethod | MosMethod | DeltaMethod;

/** What an adapter does to a module, or null where the finder has noted what is wrong with its tensors. */
export function adaptedModule(
  method: AdapterMethod,
  target: TargetModule,
  model: BaseModelShape,
  tensors: TensorFinder,
): AdaptedModule | null {
  const shape = model.projection(target.module);
  switch (method.kind) {
    case 'LoRA':
      return loraModule(method, target, shape, tensors);
    case '(IA)³':
      return ia3Module(method, target, shape, tensors);
    case 'RoAd':
      return roadModule(method, target, shape, tensors);
    case 'VeRA':
      return veraModule(method, target, model, tensors);
    case 'MoS':
      return mosModule(method, target, model, tensors);
    case 'delta':
      return deltaModule(method, target, shape, tensors);
  }
}

/** A scale of the low-rank part that leaves nothing finite. */
export function scaleIssue(method: AdapterMethod, targets: readonly TargetModule[]): AdapterIssue | null {
  if (method.kind === 'LoRA') return unusableScale(method, targets);
  return method.kind === 'MoS' ? unusableMosScale(method) : null;
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
