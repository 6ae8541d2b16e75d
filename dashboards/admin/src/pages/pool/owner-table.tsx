import type { PoolMap, PoolOwner } from '../../api/types.ts';
import { DataTable } from '../../components/data-table.tsx';
import { Empty } from '../../components/states.tsx';
import { bytes, count } from '../../format/numbers.ts';
import { KIND_NAMES, ownerText, pagesByOwner } from './page-runs.ts';

interface Held {
  readonly key: string;
  readonly owner: PoolOwner;
  readonly pages: number;
}

const MOST_ROWS = 100;

/** The same as the map, in words: who has how much. */
export function OwnerTable({ map }: { readonly map: PoolMap }) {
  const held: Held[] = pagesByOwner(map)
    .map((pages, index) => ({ key: `${index}`, owner: map.owners[index]!, pages }))
    .filter(({ owner, pages }) => owner.kind !== 'free' && pages > 0)
    .sort((a, b) => b.pages - a.pages);
  if (held.length === 0) {
    return (
      <Empty title="Every page is free">
        Ask something in the playground: its sequence, its prefix and its adapter take pages.
      </Empty>
    );
  }
  return (
    <>
      <DataTable
        caption="Who has pages, the most first"
        rows={held.slice(0, MOST_ROWS)}
        keyOf={({ key }) => key}
        columns={[
          { title: 'Owner', cell: ({ owner }) => ownerText(owner) },
          {
            title: 'Kind',
            cell: ({ owner: { kind } }) => (
              <span>
                <span class="swatch" style={{ background: `var(--${kind})` }} aria-hidden="true" />
                {KIND_NAMES[kind]}
              </span>
            ),
          },
          { title: 'Pages', isNumber: true, cell: ({ pages }) => count(pages) },
          { title: 'Memory', isNumber: true, cell: ({ pages }) => bytes(pages * map.page_bytes) },
        ]}
      />
      {held.length > MOST_ROWS && (
        <p class="small muted">And {count(held.length - MOST_ROWS)} more owners with fewer pages.</p>
      )}
    </>
  );
}
