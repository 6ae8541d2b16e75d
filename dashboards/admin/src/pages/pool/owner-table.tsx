import { useState } from 'preact/hooks';
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

/** More are a long way to what is below on a small screen. */
const FIRST_ROWS = 25;

/** The same as the map, in words: who has how much. */
export function OwnerTable({ map }: { readonly map: PoolMap }) {
  const [showsAll, setShowsAll] = useState(false);
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
        rows={showsAll ? held : held.slice(0, FIRST_ROWS)}
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
      {held.length > FIRST_ROWS && (
        <div class="more">
          <button type="button" class="button" onClick={() => setShowsAll(!showsAll)}>
            {showsAll ? 'Show the first only' : `Show all ${count(held.length)}`}
          </button>
        </div>
      )}
    </>
  );
}
