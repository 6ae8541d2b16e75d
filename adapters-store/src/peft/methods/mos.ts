/**
 * LoRA whose ranks are put together from shards that all layers share (MoS, Wang et al., 2025). PEFT does not have it; the format is
 * described in docs/adapter-formats.md.
 */
import { z } from 'zod';
import type { AdapterIssue } from '../../errors.ts';
import type { AdaptedModule, BaseModelShape } from '../../types.ts';
import { LARGEST_SCALE, positiveRank } from '../options.ts';
import type { TargetModule } from '../targeting.ts';
import type { TensorFinder } from '../tensor-finder.ts';

export interface MosMethod {
  readonly kind: 'MoS';
  readonly rank: number;
  readonly alpha: number;
  /** Shards that make up a rank's row of A, and as many its column of B. */
  readonly shards: number;
}

export function mosOptions() {
  return { r: positiveRank, lora_alpha: z.number(), shards_per_rank: z.int().min(1) };
}

export function readMos(options: z.infer<z.ZodObject<ReturnType<typeof mosOptions>>>): MosMethod {
  return { kind: 'MoS', rank: options.r, alpha: options.lora_alpha, shards: options.shards_per_rank };
}

/** A scale that leaves nothing finite. */
export function unusableMosScale({ alpha, rank }: MosMethod): AdapterIssue | null {
  const scale = alpha / rank;
  if (Math.abs(scale) <= LARGEST_SCALE) return null;
  return { where: 'lora_alpha', message: `scales by ${scale}, beyond ${LARGEST_SCALE}` };
}

export function mosModule(
  { rank, alpha, shards }: MosMethod,
  { layer, module, name }: TargetModule,
  model: BaseModelShape,
  tensors: TensorFinder,
): AdaptedModule | null {
  const shape = model.projection(module);
  // Unpacked when it is served: what no index can stand for would only take memory.
  const most = model.layerCount * rank * shards;
  const factor = (side: 'a' | 'b', width: number) => {
    if (width % shards !== 0) {
      tensors.refuse('shards_per_rank', `${shards} does not divide the width ${width} of ${name}`);
      return null;
    }
    const length = width / shards;
    const pool = `mos_pool_${side}.${module}`;
    const tensor = tensors.shared(
      pool,
      (rows, columns) => rows > 0 && rows <= most && columns === length,
      `[at most ${most} shards, ${length}]`,
    );
    const pieces = tensors.matrix(`${name}.mos_index_${side}.weight`, rank, shards, 'index');
    return tensor === null || pieces === null ? null : { tensor, pieces };
  };
  const a = factor('a', shape.in);
  const b = factor('b', shape.out);
  if (a === null || b === null) return null;
  return { layer, module, lowRank: [{ rank, scale: alpha / rank, a, b }] };
}
