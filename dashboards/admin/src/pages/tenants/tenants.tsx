import { useState } from 'preact/hooks';
import { ask, pathOf, withQuery } from '../../api/client.ts';
import type { Page as PageOf, Tenant } from '../../api/types.ts';
import { Badge } from '../../components/badge.tsx';
import { DataTable } from '../../components/data-table.tsx';
import { MoreButton } from '../../components/more-button.tsx';
import { Off } from '../../components/off.tsx';
import { Page, Panel } from '../../components/page.tsx';
import { Empty, Loaded } from '../../components/states.tsx';
import { usePages } from '../../hooks/pages.ts';
import { useSession } from '../../hooks/session.tsx';
import { Link, useLocation } from '../../router/location.tsx';
import { to } from '../../router/router.ts';
import { KeysPanel } from './keys-panel.tsx';
import { limitsText } from './limit-fields.ts';
import { SpendBars } from './spend-bars.tsx';
import { TenantDialog } from './tenant-dialog.tsx';
import { TenantPage } from './tenant-page.tsx';

/** All tenants for an operator; for a tenant's administrator its own. */
export function Tenants() {
  const { role, tenant, server } = useSession();
  if (!server.checks_keys) return <NoTenants />;
  if (role !== 'operator' && tenant !== null) return <TenantPage id={tenant} />;
  return <AllTenants />;
}

function NoTenants() {
  return (
    <Page title="Tenants and keys">
      <Off title="This server checks no keys">
        It runs with <code>--auth off</code>: each bearer token is a tenant of its own, and nothing is
        limited. Start it without <code>--auth off</code> to have tenants, keys, limits and budgets.
      </Off>
    </Page>
  );
}

function AllTenants() {
  const { go } = useLocation();
  const [isCreating, setIsCreating] = useState(false);
  const tenants = usePages<Tenant>(
    'tenants',
    (after, signal) =>
      ask<PageOf<Tenant>>('GET', withQuery('/admin/v1/tenants', { after, limit: 50 }), { signal }),
    ({ data }) => data.at(-1)?.id ?? null,
  );
  return (
    <Page
      title="Tenants and keys"
      lead="A tenant is a customer or a team: its keys, its adapters, its limits and what it spent."
      actions={
        <button type="button" class="button primary" onClick={() => setIsCreating(true)}>
          Create a tenant
        </button>
      }
    >
      <Panel title="Tenants">
        <Loaded resource={tenants}>
          {(data) =>
            data.length === 0 ? (
              <Empty title="No tenants yet">Create the first one, then give it a key on its page.</Empty>
            ) : (
              <>
                <TenantTable tenants={data} />
                <MoreButton pages={tenants} />
              </>
            )
          }
        </Loaded>
      </Panel>
      <KeysPanel tenant={null} />
      {isCreating && (
        <TenantDialog
          onClose={() => setIsCreating(false)}
          onDone={({ id }) => {
            setIsCreating(false);
            go(to('tenants', id));
          }}
        />
      )}
    </Page>
  );
}

function TenantTable({ tenants }: { readonly tenants: readonly Tenant[] }) {
  return (
    <DataTable
      caption="Tenants by their ids"
      rows={tenants}
      keyOf={({ id }) => id}
      columns={[
        {
          title: 'Tenant',
          cell: ({ id, name }) => (
            <>
              <Link href={to('tenants', id)}>{id}</Link>
              {name !== null && <div class="muted small">{name}</div>}
            </>
          ),
        },
        {
          title: 'State',
          cell: ({ blocked }) =>
            blocked ? <Badge tone="bad">blocked</Badge> : <Badge tone="good">active</Badge>,
        },
        { title: 'Weight', isNumber: true, cell: ({ weight }) => weight },
        { title: 'Models', cell: ({ models }) => modelsText(models) },
        { title: 'Limits', cell: ({ limits }) => limitsText(limits) ?? <span class="muted">none</span> },
        {
          title: 'Spent of its budgets',
          cell: ({ id, limits }) => <SpendBars path={pathOf('/admin/v1/tenants', id)} limits={limits} />,
        },
      ]}
    />
  );
}

export function modelsText(models: readonly string[]): string {
  if (models.length === 0) return 'none';
  return models.includes('*') ? 'all' : models.join(', ');
}
