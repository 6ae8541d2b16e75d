import type { UnifiedMemory } from './memory/unified-memory.ts';
import type { Sequence } from './scheduling/sequence.ts';
import type { PageMap, PageOwner } from './types.ts';

const FREE = 0;

/** What is in each page, from the books: made when it is asked for, in time and space that the pool's size bounds. */
export function pageMap(
  { pool, adapters, prefixes }: UnifiedMemory,
  running: Iterable<Sequence>,
  pageBytes: number,
): PageMap {
  const pages = new Uint32Array(pool.pageCount);
  const owners: PageOwner[] = [{ kind: 'free' }];
  const addOwner = (owner: PageOwner) => owners.push(owner) - 1;
  for (const sequence of running) {
    /** The sequence's own, by how many others use a page as well. */
    const known = new Map<number, number>();
    for (const [index, page] of sequence.blocks.entries()) {
      // One of those who use it has it already.
      if (pages[page] !== FREE) continue;
      const users = sequence.shared[index]?.users ?? 1;
      const { id: request, tenant, adapter } = sequence;
      const owner = known.get(users) ?? addOwner({ kind: 'kv', request, tenant, adapter, users });
      known.set(users, owner);
      pages[page] = owner;
    }
  }
  const prefixOwners = new Map<string, number>();
  for (const { page, owner } of prefixes.unused()) {
    const { tenant, adapter } = owner;
    const key = JSON.stringify([tenant, adapter]);
    const index = prefixOwners.get(key) ?? addOwner({ kind: 'prefix', tenant, adapter });
    prefixOwners.set(key, index);
    pages[page] = index;
  }
  for (const { digest, pinned, users, pageNumbers } of adapters.all) {
    const index = addOwner({ kind: 'adapter', digest, pinned, users });
    for (const page of pageNumbers) pages[page] = index;
  }
  return { pageBytes, pagesTotal: pool.pageCount, owners, runs: runsOf(pages) };
}

/** Each value and how often it comes in a row. */
function runsOf(values: Uint32Array): Uint32Array {
  const runs: number[] = [];
  for (let from = 0, to = 0; from < values.length; from = to) {
    while (to < values.length && values[to] === values[from]) to++;
    runs.push(values[from]!, to - from);
  }
  return Uint32Array.from(runs);
}
