/** VeRA (Kopiczko et al., 2024), as `VeraConfig` of PEFT 0.21 has it: scaled rows of two matrices that all modules share. */
import type { z } from 'zod';
import { type AdaptedModule, type BaseModelShape, LORA_MODULES } from '../../types.ts';
import { onlyWithoutBias, positiveRank } from '../options.ts';
import type { TargetModule } from '../targeting.ts';
import type { TensorFinder } from '../tensor-finder.ts';

export interface VeraMethod {
  readonly kind: 'VeRA';
  readonly rank: number;
}

export const VERA_WITHOUT_EFFECT = [
  'init_weights',
  'vera_dropout',
  'd_initial',
  'projection_prng_key',
  'save_projection',
];
const ADVICE =
  'the shared matrices cannot be drawn again from projection_prng_key: save the adapter with save_projection=True';

export function veraOptions() {
  return { r: positiveRank.default(256), bias: onlyWithoutBias };
}

export function readVera(options: z.infer<z.ZodObject<ReturnType<typeof veraOptions>>>): VeraMethod {
  return { kind: 'VeRA', rank: options.r };
}

export function veraModule(
  { rank }: VeraMethod,
  { layer, module, name }: TargetModule,
  model: BaseModelShape,
  tensors: TensorFinder,
): AdaptedModule | null {
  const shape = model.projection(module);
  // Read whole when it is served: what no module has inputs or outputs for would only take memory.
  const shapes = LORA_MODULES.map((each) => model.projection(each));
  const widest = Math.max(...shapes.map((each) => each.in));
  const longest = Math.max(...shapes.map((each) => each.out));
  const a = tensors.shared(
    'vera_A',
    (rows, columns) => rows === rank && columns >= shape.in && columns <= widest,
    `[${rank}, ${shape.in} to ${widest}]`,
    ADVICE,
  );
  const b = tensors.shared(
    'vera_B',
    (rows, columns) => columns === rank && rows >= shape.out && rows <= longest,
    `[${shape.out} to ${longest}, ${rank}]`,
    ADVICE,
  );
  const ofRanks = tensors.vector(`${name}.vera_lambda_d`, rank);
  const ofOutputs = tensors.vector(`${name}.vera_lambda_b`, shape.out);
  if (a === null || b === null || ofRanks === null || ofOutputs === null) return null;
  const factors = { a: { tensor: a, rowScales: ofRanks }, b: { tensor: b, rowScales: ofOutputs } };
  return { layer, module, lowRank: [{ rank, scale: 1, ...factors }] };
}
