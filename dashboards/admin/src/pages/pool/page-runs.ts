/** The pages of the pool, in their order, from their run-length code. */
import type { PoolKind, PoolMap, PoolOwner } from '../../api/types.ts';
import { count as countText } from '../../format/numbers.ts';

export const KINDS: readonly PoolKind[] = ['adapter', 'kv', 'prefix', 'free'];

/**
 * Index of the owner of each page.
 * @throws Error where the code does not say who has each page, once
 */
export function decodeRuns({ pages_total: total, owners, runs }: PoolMap): Uint32Array {
  const pages = new Uint32Array(total);
  let page = 0;
  for (const [owner, count] of runs) {
    if (!(owner in owners) || count < 0 || page + count > total) {
      throw new Error('The map of pages that the server sent does not fit together.');
    }
    pages.fill(owner, page, page + count);
    page += count;
  }
  if (page !== total) throw new Error(`The map of pages has ${page} of ${total} pages.`);
  return pages;
}

/** How many pages each owner has, in the order of owners. */
export function pagesByOwner({ owners, runs }: PoolMap): readonly number[] {
  const counts = new Array<number>(owners.length).fill(0);
  for (const [owner, count] of runs) counts[owner] = (counts[owner] ?? 0) + count;
  return counts;
}

/** How many pages are of each kind. */
export function pagesByKind(map: PoolMap): Readonly<Record<PoolKind, number>> {
  const sums: Record<PoolKind, number> = { adapter: 0, kv: 0, prefix: 0, free: 0 };
  for (const [index, count] of pagesByOwner(map).entries()) sums[map.owners[index]!.kind] += count;
  return sums;
}

export const KIND_NAMES: Readonly<Record<PoolKind, string>> = {
  adapter: 'Adapter weights',
  kv: 'Sequences (KV)',
  prefix: 'Shared prefixes',
  free: 'Free',
};

/** Who has a page, in a sentence without its end. */
export function ownerText(owner: PoolOwner): string {
  switch (owner.kind) {
    case 'free':
      return 'Free';
    case 'kv':
      return `KV of request ${owner.request}, ${owner.tenant}, ${owner.adapter ?? 'base model'}`;
    case 'prefix':
      return [
        `Shared prefix of ${owner.adapter ?? 'the base model'}`,
        ...(owner.tenant === null ? [] : [owner.tenant]),
        ...(owner.hits === undefined ? [] : [`found ${owner.hits} times`]),
      ].join(', ');
    case 'adapter':
      return [
        `Weights of ${owner.name ?? owner.digest.slice(0, 10)}`,
        owner.running === 0 ? 'not running' : `${owner.running} running`,
        ...(owner.pinned ? ['pinned'] : []),
      ].join(', ');
  }
}

/** Pages that are one cell of the picture. */
export interface Cell {
  readonly first: number;
  /** The last that is in it. */
  readonly last: number;
}

/** The cell that a page is in. @param total how many pages there are: the last cell may have fewer than the others */
export function cellOf(page: number, pagesPerCell: number, total: number): Cell {
  const first = page - (page % pagesPerCell);
  return { first, last: Math.min(total, first + pagesPerCell) - 1 };
}

/** Index of the owner that colours a cell: of the first of its pages that is used. */
export function ownerOfCell({ owners }: PoolMap, pages: Uint32Array, { first, last }: Cell): number {
  for (let page = first; page <= last; page += 1) {
    const owner = pages[page] ?? 0;
    if (owners[owner]?.kind !== 'free') return owner;
  }
  return pages[first] ?? 0;
}

/** Whose a cell is: of the owner that colours it, and how much of the cell that has. */
export function cellText(map: PoolMap, pages: Uint32Array, cell: Cell): string {
  const { first, last } = cell;
  const owner = ownerOfCell(map, pages, cell);
  const whose = ownerText(map.owners[owner] ?? { kind: 'free' });
  if (first === last) return `Page ${countText(first)}: ${whose}`;
  const all = last - first + 1;
  const own = pages.subarray(first, last + 1).filter((each) => each === owner).length;
  const share = own === all ? '' : `, in ${own} of these ${all}`;
  return `Pages ${countText(first)} to ${countText(last)}: ${whose}${share}`;
}
