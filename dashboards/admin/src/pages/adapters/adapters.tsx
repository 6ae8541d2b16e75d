import { useState } from 'preact/hooks';
import { ask, withQuery } from '../../api/client.ts';
import type { AdapterHead, Model, Page as PageOf } from '../../api/types.ts';
import { Badge } from '../../components/badge.tsx';
import { DataTable } from '../../components/data-table.tsx';
import { MoreButton } from '../../components/more-button.tsx';
import { Page, Panel } from '../../components/page.tsx';
import { Empty, Loaded } from '../../components/states.tsx';
import { TenantSelect } from '../../components/tenant-select.tsx';
import { bytes, shortDigest } from '../../format/numbers.ts';
import { relative } from '../../format/times.ts';
import { usePages } from '../../hooks/pages.ts';
import { useResource } from '../../hooks/resource.ts';
import { useIsOperator, useSession } from '../../hooks/session.tsx';
import { Link, useQueryParam } from '../../router/location.tsx';
import { to } from '../../router/router.ts';
import { UploadPanel } from './upload-panel.tsx';

/** The adapters that whoever is signed in, or the tenant an operator acts for, may see. */
export function Adapters() {
  const isOperator = useIsOperator();
  const session = useSession();
  // An operator may use any name.
  const own = isOperator ? null : session.tenant;
  const [tenant, setTenant] = useQueryParam('tenant');
  const [isUploading, setIsUploading] = useState(false);
  const adapters = usePages<AdapterHead>(
    `adapters ${tenant}`,
    (after, signal) =>
      ask<PageOf<AdapterHead>>('GET', withQuery('/admin/v1/adapters', { tenant, after, limit: 100 }), {
        signal,
      }),
    ({ data }) => data.at(-1)?.name ?? null,
  );
  return (
    <Page
      title="Adapters"
      lead="Small sets of weights that change what the base model does. Any number of them share one batch."
      actions={
        <button
          type="button"
          class="button primary"
          aria-expanded={isUploading}
          onClick={() => setIsUploading(!isUploading)}
        >
          {isUploading ? 'Close the upload' : 'Upload an adapter'}
        </button>
      }
    >
      {isOperator && (
        <div class="filters">
          <TenantSelect
            label="Acting for"
            value={tenant}
            onInput={setTenant}
            none="The operator"
            without="operator"
            hint="Its adapters are shown, and uploads are its own."
          />
        </div>
      )}
      {isUploading && (
        <UploadPanel
          tenant={tenant === '' ? null : tenant}
          owner={tenant === '' ? own : tenant}
          onDone={adapters.reload}
        />
      )}
      <Panel title="In the store">
        <Loaded resource={adapters}>
          {(data) =>
            data.length === 0 ? (
              <Empty title="No adapters yet">
                Upload one: its <code>adapter_config.json</code> and its <code>.safetensors</code> file, as
                PEFT writes them.
              </Empty>
            ) : (
              <>
                <AdapterTable adapters={data} tenant={tenant} />
                <MoreButton pages={adapters} />
              </>
            )
          }
        </Loaded>
      </Panel>
      <ServedModels inStore={adapters.data} />
    </Page>
  );
}

function AdapterTable({
  adapters,
  tenant,
}: {
  readonly adapters: readonly AdapterHead[];
  readonly tenant: string;
}) {
  return (
    <DataTable
      caption="Adapters by their names"
      rows={adapters}
      keyOf={({ name }) => name}
      columns={[
        {
          title: 'Name',
          cell: ({ name }) => <Link href={withQuery(to('adapters', name), { tenant })}>{name}</Link>,
        },
        { title: 'Owner', cell: ({ owner }) => owner },
        {
          title: 'Kind',
          cell: ({ kind, task }) => (
            <>
              {kind} {task === 'embed' && <Badge>embeddings</Badge>}
            </>
          ),
        },
        { title: 'Latest version', cell: ({ digest }) => <code title={digest}>{shortDigest(digest)}</code> },
        { title: 'Size', isNumber: true, cell: (adapter) => bytes(adapter.bytes) },
        { title: 'Changed', isNumber: true, cell: ({ moved }) => relative(moved) },
      ]}
    />
  );
}

/** What can be asked for besides: the operator's directory of adapters is not in the store. */
function ServedModels({ inStore }: { readonly inStore: readonly AdapterHead[] | null }) {
  const models = useResource('models', (signal) => ask<PageOf<Model>>('GET', '/v1/models', { signal }));
  const names = new Set(inStore?.map(({ name }) => name));
  const others = models.data?.data.filter(({ id, parent }) => parent !== null && !names.has(id)) ?? [];
  if (inStore === null || others.length === 0) return null;
  return (
    <Panel title="From the server’s own directory">
      <p class="muted">
        These come from <code>--adapters</code>. They are for everybody, and are changed by changing their
        files.
      </p>
      <ul class="chips served">
        {others.map(({ id }) => (
          <li key={id}>
            <Badge>{id}</Badge>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
