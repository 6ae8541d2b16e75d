import { type AdapterWeights, EngineError, type ModelInfo, projectionShape } from '../types.ts';

/** How an adapter's numbers are kept in memory: half floats, or bytes with a scale for each row of A and column of B. */
export const LORA_DTYPES = ['f16', 'int8'] as const;
export type LoraDtype = (typeof LORA_DTYPES)[number];

/** Rank rows start at multiples of this many bytes, a cache line. */
const ROW_ALIGNMENT = 64;

/** Where an adapter's rank rows lie, relative to whatever pages it will be given. */
export interface AdapterLayout {
  readonly pageCount: number;
  /** For each rank row, in the order of pairs and ranks: index of its page, and byte offset in it. */
  readonly rows: Uint32Array;
}

/** Bytes of a rank row, as `RowFormat::row_bytes` in Rust: int8 rows begin with two floats. */
function rowBytes(dtype: LoraDtype, values: number): number {
  return dtype === 'f16' ? values * 2 : 8 + values;
}

/**
 * Packs an adapter's rank rows (row j of A, then column j of B) into as few pages as keep every row in one page.
 * Any mix of ranks; no padding beyond the alignment of a row.
 *
 * @throws EngineError `adapter_does_not_fit` when a single row is larger than a page.
 */
export function layOutAdapter(
  adapter: AdapterWeights,
  model: ModelInfo,
  dtype: LoraDtype,
  pageBytes: number,
): AdapterLayout {
  const rowCount = adapter.pairs.reduce((sum, pair) => sum + pair.rank, 0);
  const rows = new Uint32Array(rowCount * 2);
  let page = 0;
  let offset = 0;
  let index = 0;
  for (const pair of adapter.pairs) {
    const shape = projectionShape(model, pair.module);
    const bytes = rowBytes(dtype, shape.in + shape.out);
    if (bytes > pageBytes) {
      throw new EngineError(
        'adapter_does_not_fit',
        `a row of layer ${pair.layer} ${pair.module} takes ${bytes} bytes, a page has ${pageBytes}`,
      );
    }
    for (let rank = 0; rank < pair.rank; rank++) {
      if (offset + bytes > pageBytes) {
        page++;
        offset = 0;
      }
      rows[index++] = page;
      rows[index++] = offset;
      offset += Math.ceil(bytes / ROW_ALIGNMENT) * ROW_ALIGNMENT;
    }
  }
  return { pageCount: rowCount === 0 ? 0 : page + 1, rows };
}

/** The layout's rows as page number and byte offset, for the pages that were taken. */
export function rowAddresses(layout: AdapterLayout, pages: readonly number[]): Uint32Array {
  const addresses = layout.rows.slice();
  for (let index = 0; index < addresses.length; index += 2) {
    addresses[index] = pages[addresses[index]!]!;
  }
  return addresses;
}
