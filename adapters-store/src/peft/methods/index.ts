/** The kinds of adapters that PEFT writes and the engine can batch, and two of our own (MoS, deltas of fine-tunes). */
import type { AdaptedModule } from '../../types.ts';
import type { TargetModule } from '../targeting.ts';
import type { TensorFinder } from '../tensor-finder.ts';
import { type DeltaMethod, deltaModule } from './delta.ts';
import { type Ia3Method, ia3Module } from './ia3.ts';
import { type LoraMethod, loraModule } from './lora.ts';
import { type MosMethod, mosModule } from './mos.ts';
import { type RoadMethod, roadModule } from './road.ts';
import { type VeraMethod, veraModule } from './vera.ts';

export type AdapterMethod = LoraMethod | Ia3Method | RoadMethod | VeraMethod | MosMethod | DeltaMethod;

/** Input and output width of a projection. */
export interface Shape {
  readonly in: number;
  readonly out: number;
}

/** What an adapter does to a module, or null where the finder has noted what is wrong with its tensors. */
export function adaptedModule(
  method: AdapterMethod,
  target: TargetModule,
  shape: Shape,
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
