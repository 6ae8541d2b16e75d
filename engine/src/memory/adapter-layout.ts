import {
  type AdaptedModule,
  type AdapterWeights,
  EngineError,
  type ModelInfo,
  projectionShape,
} from '../types.ts';

/** How an adapter's ranks are kept in memory: half floats, or bytes with a scale for each row of A and column of B. */
export const LORA_DTYPES = ['f16', 'int8'] as const;
export type LoraDtype = (typeof LORA_DTYPES)[number];

/** Places and their parts start at multiples of this many bytes, a cache line. As in `lora/slab.rs`. */
const ALIGNMENT = 64;
/** The most ranks in a slab. As in `lora/slab.rs`. */
const SLAB_RANKS = 16;
/** Fewer ranks than this are not put at the end of a page when more are left: the kernels take four at once. */
const LEAST_RANKS = 4;
/** Outputs side by side in B and in a sparse part. As in `lora/slab.rs`. */
const PANEL = 16;
/** Numbers that describe a place: page, byte offset, count. */
const FIELDS = 3;

/** Where an adapter's parts lie, relative to whatever pages it will be given. */
export interface AdapterLayout {
  readonly pageCount: number;
  /**
   * For each place, in the order of modules and of what a module has (factors of inputs, ranks, sparse panels, factors of
   * outputs): index of its page, byte offset in it, and how many ranks or panels it has, 1 for a vector.
   */
  readonly places: Uint32Array;
}

interface Shape {
  readonly in: number;
  readonly out: number;
}

/** Something to find places for: `count` units, some of which may lie together. */
interface Part {
  /** For an error. */
  readonly what: string;
  readonly count: number;
  /** The most units in a place. */
  readonly most: number;
  /** Fewer are not put at the end of a page when more are left. */
  readonly least: number;
  /** Of a place with so many units. */
  bytes(count: number): number;
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function panels(outputs: number): number {
  return Math.ceil(outputs / PANEL);
}

/** Bytes of a slab, as `LoraDtype::slab_bytes` in Rust: scales with int8, then A, then B in whole panels. */
export function slabBytes(dtype: LoraDtype, ranks: number, shape: Shape): number {
  const width = dtype === 'f16' ? 2 : 1;
  const scales = dtype === 'f16' ? 0 : aligned(ranks * 8);
  return scales + aligned(ranks * shape.in * width) + ranks * panels(shape.out) * PANEL * width;
}

/** Bytes of some panels of a sparse part, as `sparse::place_bytes` in Rust: scales, then a byte for every four inputs. */
export function sparseBytes(count: number, inputs: number): number {
  return aligned(count * PANEL * 4) + count * PANEL * (inputs / 4);
}

function* partsOf(adapted: AdaptedModule, shape: Shape, dtype: LoraDtype): Generator<Part> {
  const vector = (what: string, length: number): Part => {
    return { what, count: 1, most: 1, least: 1, bytes: () => length * 4 };
  };
  if (adapted.input !== undefined) yield vector('factors of inputs', shape.in);
  for (const { rank } of adapted.lowRank) {
    yield {
      what: 'a rank',
      count: rank,
      most: SLAB_RANKS,
      least: LEAST_RANKS,
      bytes: (ranks) => slabBytes(dtype, ranks, shape),
    };
  }
  if (adapted.sparse !== undefined) {
    const count = panels(shape.out);
    const bytes = (some: number) => sparseBytes(some, shape.in);
    yield { what: 'sixteen outputs of its sparse part', count, most: count, least: 1, bytes };
  }
  if (adapted.output !== undefined) {
    yield vector('factors of outputs', shape.out);
    if (adapted.output.kind === 'rotation') yield vector('factors of partners', shape.out);
  }
}

/** The most units up to `most` whose place has room in so many bytes. */
function unitsThatFit(part: Part, most: number, bytes: number): number {
  let [fits, tooMany] = [0, most + 1];
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >> 1;
    if (part.bytes(middle) <= bytes) fits = middle;
    else tooMany = middle;
  }
  return fits;
}

/**
 * Packs an adapter's parts into places of up to sixteen ranks, any number of sparse panels, or one vector, none across a
 * page's end. Any mix of ranks; at a page's end less than four ranks are wasted.
 *
 * @throws EngineError `adapter_does_not_fit` when a single rank, panel or vector is larger than a page.
 */
export function layOutAdapter(
  adapter: AdapterWeights,
  model: ModelInfo,
  dtype: LoraDtype,
  pageBytes: number,
): AdapterLayout {
  const places: number[] = [];
  let page = 0;
  let offset = 0;
  for (const adapted of adapter.modules) {
    for (const part of partsOf(adapted, projectionShape(model, adapted.module), dtype)) {
      if (part.bytes(1) > pageBytes) {
        const { layer, module } = adapted;
        throw new EngineError(
          'adapter_does_not_fit',
          `layer ${layer} ${module}: ${part.what} takes ${part.bytes(1)} bytes, a page has ${pageBytes}`,
        );
      }
      let left = part.count;
      while (left > 0) {
        const units = unitsThatFit(part, Math.min(left, part.most), pageBytes - offset);
        if (units < Math.min(left, part.least) && offset > 0) {
          page++;
          offset = 0;
          continue;
        }
        places.push(page, offset, units);
        offset = aligned(offset + part.bytes(units));
        left -= units;
      }
    }
  }
  return { pageCount: places.length === 0 ? 0 : page + 1, places: Uint32Array.from(places) };
}

/** The layout's places with page numbers, for the pages that were taken. */
export function placeAddresses(layout: AdapterLayout, pages: readonly number[]): Uint32Array {
  const places = layout.places.slice();
  for (let index = 0; index < places.length; index += FIELDS) places[index] = pages[places[index]!]!;
  return places;
}
