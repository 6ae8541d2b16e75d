/** What a compressed delta does not carry, and how far a fine-tune has moved it. */
import { compareTensors } from '@polylora/engine-native';
import type { DecoderModel } from '../model/decoder.ts';
import { DeltaError } from './delta-error.ts';
import { tensorOf } from './projections.ts';

/** What of the base is kept although the fine-tune changed it. */
export interface KeepOptions {
  /** Embeddings, head and final norm. */
  readonly keepBaseEmbeddings: boolean;
  /** Biases, and norms of queries and keys. */
  readonly keepBaseBiases: boolean;
}

export interface LeftOut {
  /** A tensor's name, or a kind of tensors in all layers: `self_attn.q_proj.bias`. */
  readonly name: string;
  /** ‖tuned − base‖ ÷ ‖base‖ */
  readonly relativeDifference: number;
}

/** A difference of this size is how files round the same numbers: bfloat16 is off by 0.0016 in the mean square. */
const ROUNDING = 0.002;

const OUTER = ['model.embed_tokens.weight', 'lm_head.weight', 'model.norm.weight'];
/** Within a layer. */
const INNER = /^model\.layers\.\d+\.(.+\.bias|self_attn\.[qk]_norm\.weight)$/;

/**
 * Compares all that a delta does not carry.
 *
 * @returns what differs by more than files round
 * @throws DeltaError `change_not_carried` where something differs that was not said to be kept
 */
export async function compareLeftOut(
  tuned: DecoderModel,
  base: DecoderModel,
  keep: KeepOptions,
): Promise<LeftOut[]> {
  const sums = new Map<string, { norm: number; difference: number }>();
  for (const name of tuned.tensors.keys()) {
    const kind = OUTER.includes(name) ? name : INNER.exec(name)?.[1];
    if (kind === undefined) continue;
    const pair = { tuned: tensorOf(tuned, name), base: tensorOf(base, name) };
    const { norm, difference } = await compareTensors(pair);
    const sum = sums.get(kind) ?? { norm: 0, difference: 0 };
    sums.set(kind, { norm: sum.norm + norm, difference: sum.difference + difference });
  }
  const moved = [...sums]
    .map(([name, { norm, difference }]) => ({
      name,
      relativeDifference: difference === 0 ? 0 : Math.sqrt(difference / norm),
    }))
    .filter(({ relativeDifference }) => relativeDifference > ROUNDING);
  refuse(moved, OUTER, keep.keepBaseEmbeddings, '--keep-base-embeddings');
  const biases = moved.map(({ name }) => name).filter((name) => !OUTER.includes(name));
  refuse(moved, biases, keep.keepBaseBiases, '--keep-base-biases');
  return moved;
}

function refuse(moved: readonly LeftOut[], names: readonly string[], kept: boolean, option: string): void {
  const own = moved.filter(({ name }) => names.includes(name));
  if (own.length === 0 || kept) return;
  const list = own.map(
    ({ name, relativeDifference }) => `${name} by ${Number((100 * relativeDifference).toPrecision(2))} %`,
  );
  throw new DeltaError(
    'change_not_carried',
    `A compressed delta does not carry what this fine-tune changed: ${list.join(', ')}. ${option} keeps the base's.`,
  );
}
