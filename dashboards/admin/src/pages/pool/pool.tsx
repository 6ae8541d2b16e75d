import { ask } from '../../api/client.ts';
import type { PoolMap } from '../../api/types.ts';
import { Off, OperatorsOnly } from '../../components/off.tsx';
import { Page, Panel } from '../../components/page.tsx';
import { Loaded } from '../../components/states.tsx';
import { Tiles } from '../../components/tiles.tsx';
import { bytes, count, percent } from '../../format/numbers.ts';
import { useResource } from '../../hooks/resource.ts';
import { useSession } from '../../hooks/session.tsx';
import { HeatMap } from './heat-map.tsx';
import { OwnerTable } from './owner-table.tsx';
import { KIND_NAMES, KINDS, pagesByKind } from './page-runs.ts';
import './pool.css';

const EVERY_MS = 2_000;

/** What the engine's memory holds, page by page. */
export function Pool() {
  const { role, server } = useSession();
  const isThere = role === 'operator' && server.backend === 'engine';
  const map = useResource(
    isThere ? 'pool' : null,
    (signal) => ask<PoolMap>('GET', '/admin/v1/pool', { signal }),
    { every: EVERY_MS },
  );
  return (
    <Page
      title="Page pool"
      lead="One pool of equal pages holds running sequences, prefixes that are kept, and the weights of adapters."
    >
      {role !== 'operator' ? (
        <OperatorsOnly />
      ) : isThere ? (
        <Loaded resource={map} rows={14}>
          {(data) => <PoolNow map={data} />}
        </Loaded>
      ) : (
        <Off title="No page pool here">
          Another server computes the answers (<code>--upstream</code>), and its memory is its own. Start this
          server without <code>--upstream</code> to run the engine here.
        </Off>
      )}
    </Page>
  );
}

function PoolNow({ map }: { readonly map: PoolMap }) {
  const byKind = pagesByKind(map);
  return (
    <>
      <Tiles
        tiles={KINDS.map((kind) => ({
          label: KIND_NAMES[kind],
          value: (
            <>
              <span class={`swatch large ${kind}`} aria-hidden="true" />
              {count(byKind[kind])}
            </>
          ),
          about: `${percent(byKind[kind] / Math.max(1, map.pages_total))}, ${bytes(byKind[kind] * map.page_bytes)}`,
        }))}
      />
      <Panel title={`${count(map.pages_total)} pages of ${bytes(map.page_bytes)}`}>
        <HeatMap map={map} />
      </Panel>
      <Panel title="Who has them">
        <OwnerTable map={map} />
      </Panel>
    </>
  );
}
