/** How much of a size each projection's low-rank part gets. */
import { LORA_MODULES, type LoraModule } from '../types.ts';
import type { Projection } from './projections.ts';

export type Ranks = Readonly<Record<LoraModule, number>>;

const F16_BYTES = 2;
/** Halvings of the interval in which the best rate lies: beyond these no rank changes. */
const HALVINGS = 40;

export function sameRanks(rank: number): Ranks {
  return ranksOf(() => rank);
}

/**
 * The largest ranks with which a file has at most `budget` bytes. Every weight gets the same share of what the sparse
 * part leaves, so that a projection's rank is in proportion to its weights and in inverse proportion to what a rank
 * of it costs.
 *
 * @param sizeOf bytes of the whole file with some ranks
 * @returns null where not even ranks of 0 fit
 */
export function ranksWithin(
  projections: readonly Projection[],
  budget: number,
  sizeOf: (ranks: Ranks) => number,
): Ranks | null {
  const at = (rate: number) =>
    ranksOf((module) => {
      const own = projections.find((projection) => projection.module === module);
      if (own === undefined) return 0;
      const { inputs, outputs } = own;
      const rank = Math.floor((rate * inputs * outputs) / ((inputs + outputs) * F16_BYTES));
      return Math.min(rank, inputs, outputs);
    });
  if (sizeOf(at(0)) > budget) return null;
  // Bytes for each weight. At the upper one even the widest ranks are whole.
  let [low, high] = [0, 4 * F16_BYTES];
  if (sizeOf(at(high)) <= budget) return at(high);
  for (let halving = 0; halving < HALVINGS; halving++) {
    const middle = (low + high) / 2;
    if (sizeOf(at(middle)) <= budget) low = middle;
    else high = middle;
  }
  return at(low);
}

function ranksOf(rank: (module: LoraModule) => number): Ranks {
  const entries = LORA_MODULES.map((module) => [module, rank(module)] as const);
  return Object.fromEntries(entries) as Record<LoraModule, number>;
}
