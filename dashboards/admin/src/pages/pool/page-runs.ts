/** The pages of the pool, in their order, from their run-length code. */
import type { PoolKind, PoolMap, PoolOwner } from '../../api/types.ts';

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
