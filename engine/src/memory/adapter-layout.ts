import { type AdapterWeights, EngineError, type ModelInfo, projectionShape } from '../types.ts';

/** How an adapter's numbers are kept in memory: half floats, or bytes with a scale for each row of A and column of B. */
export const LORA_DTYPES = ['f16', 'int8'] as const;
export type LoraDtype = (typeof LORA_DTYPES)[number];

/** Slabs and their parts start at multiples of this many bytes, a cache line. As in `lora/slab.rs`. */
const SLAB_ALIGNMENT = 64;
/** The most ranks in a slab. As in `lora/slab.rs`. */
const SLAB_RANKS = 16;
/** Fewer ranks than this are not put at the end of a page when more are left: the kernels take four at once. */
const LEAST_RANKS = 4;
/** Outputs side by side in B. As in `lora/slab.rs`. */
const PANEL = 16;
/** Numbers that describe a slab: page, byte offset, ranks. */
const FIELDS = 3;

/** Where an adapter's slabs lie, relative to whatever pages it will be given. */
export interface AdapterLayout {
  readonly pageCount: number;
  /** For each slab, in the order of pairs and ranks: index of its page, byte offset in it, number of ranks. */
  readonly slabs: Uint32Array;
}

interface Shape {
  readonly in: number;
  readonly out: number;
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / SLAB_ALIGNMENT) * SLAB_ALIGNMENT;
}

/** Bytes of a slab, as `LoraDtype::slab_bytes` in Rust: scales with int8, then A, then B in whole panels. */
export function slabBytes(dtype: LoraDtype, ranks: number, shape: Shape): number {
  const width = dtype === 'f16' ? 2 : 1;
  const scales = dtype === 'f16' ? 0 : aligned(ranks * 8);
  const outputs = Math.ceil(shape.out / PANEL) * PANEL;
  return scales + aligned(ranks * shape.in * width) + ranks * outputs * width;
}

/** The most ranks up to `most` whose slab has room in so many bytes. */
function ranksThatFit(dtype: LoraDtype, most: number, shape: Shape, bytes: number): number {
  let ranks = most;
  while (ranks > 0 && slabBytes(dtype, ranks, shape) > bytes) ranks--;
  return ranks;
}

/**
 * Packs an adapter's pairs into slabs of up to sixteen ranks, none across a page's end. Any mix of ranks; at a page's end
 * less than four ranks are wasted.
 *
 * @throws EngineError `adapter_does_not_fit` when a single rank is larger than a page.
 */
export function layOutAdapter(
  adapter: AdapterWeights,
  model: ModelInfo,
  dtype: LoraDtype,
  pageBytes: number,
): AdapterLayout {
  const slabs: number[] = [];
  let page = 0;
  let offset = 0;
  for (const pair of adapter.pairs) {
    const shape = projectionShape(model, pair.module);
    if (slabBytes(dtype, 1, shape) > pageBytes) {
      throw new EngineError(
        'adapter_does_not_fit',
        `a rank of layer ${pair.layer} ${pair.module} takes ${slabBytes(dtype, 1, shape)} bytes, a page has ${pageBytes}`,
      );
    }
    let left = pair.rank;
    while (left > 0) {
      const ranks = ranksThatFit(dtype, Math.min(left, SLAB_RANKS), shape, pageBytes - offset);
      if (ranks < Math.min(left, LEAST_RANKS) && offset > 0) {
        page++;
        offset = 0;
        continue;
      }
      slabs.push(page, offset, ranks);
      offset = aligned(offset + slabBytes(dtype, ranks, shape));
      left -= ranks;
    }
  }
  return { pageCount: slabs.length === 0 ? 0 : page + 1, slabs: Uint32Array.from(slabs) };
}

/** The layout's slabs with page numbers, for the pages that were taken. */
export function slabAddresses(layout: AdapterLayout, pages: readonly number[]): Uint32Array {
  const slabs = layout.slabs.slice();
  for (let index = 0; index < slabs.length; index += FIELDS) slabs[index] = pages[slabs[index]!]!;
  return slabs;
}
