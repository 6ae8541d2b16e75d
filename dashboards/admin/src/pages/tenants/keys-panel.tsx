import { useState } from 'preact/hooks';
import { ask, withQuery } from '../../api/client.ts';
import type { ApiKey, Page as PageOf } from '../../api/types.ts';
import { Badge } from '../../components/badge.tsx';
import { DataTable } from '../../components/data-table.tsx';
import { MoreButton } from '../../components/more-button.tsx';
import { Panel } from '../../components/page.tsx';
import { Empty, Loaded } from '../../components/states.tsx';
import { relative } from '../../format/times.ts';
import { usePages } from '../../hooks/pages.ts';
import { Link } from '../../router/location.tsx';
import { to } from '../../router/router.ts';
import { KeyActions } from './key-actions.tsx';
import { KeyDialog } from './key-dialog.tsx';
import { KeyOnce } from './key-once.tsx';
import { limitsText } from './limit-fields.ts';
import { SpendBars } from './spend-bars.tsx';
import { modelsText } from './tenants.tsx';

interface KeysPanelProps {
  /** Whose; null: all tenants'. */
  readonly tenant: string | null;
}

export function KeysPanel({ tenant }: KeysPanelProps) {
  const [isCreating, setIsCreating] = useState(false);
  const [made, setMade] = useState<ApiKey | null>(null);
  const keys = usePages<ApiKey>(
    `keys ${tenant}`,
    (after, signal) =>
      ask<PageOf<ApiKey>>('GET', withQuery('/admin/v1/keys', { tenant, after, limit: 50 }), { signal }),
    ({ data }) => data.at(-1)?.id ?? null,
  );
  const show = (key: ApiKey) => {
    setIsCreating(false);
    setMade(key);
    keys.reload();
  };
  return (
    <Panel
      title={tenant === null ? 'All keys' : 'Keys'}
      actions={
        <button type="button" class="button" onClick={() => setIsCreating(true)}>
          Create a key
        </button>
      }
    >
      <Loaded resource={keys}>
        {(data) =>
          data.length === 0 ? (
            <Empty title="No keys yet">
              Create one: it is shown once, to be given to whoever asks with it.
            </Empty>
          ) : (
            <>
              <KeyTable keys={data} showsTenant={tenant === null} reload={keys.reload} onRotated={show} />
              <MoreButton pages={keys} />
            </>
          )
        }
      </Loaded>
      {isCreating && <KeyDialog tenant={tenant} onClose={() => setIsCreating(false)} onDone={show} />}
      {made !== null && <KeyOnce key={made.key} made={made} onClose={() => setMade(null)} />}
    </Panel>
  );
}

interface KeyTableProps {
  readonly keys: readonly ApiKey[];
  readonly showsTenant: boolean;
  readonly reload: () => void;
  readonly onRotated: (key: ApiKey) => void;
}

function KeyTable({ keys, showsTenant, reload, onRotated }: KeyTableProps) {
  return (
    <DataTable
      caption="Keys, the newest first"
      rows={keys}
      keyOf={({ id }) => id}
      columns={[
        {
          title: 'Key',
          cell: ({ id, alias, secrets }) => (
            <>
              {alias ?? <code>{id}</code>}
              <div class="muted small">
                {alias !== null && <code>{id}</code>}{' '}
                <code>{secrets.map(({ prefix }) => `${prefix}…`).join(', ')}</code>
              </div>
            </>
          ),
        },
        ...(showsTenant
          ? [
              {
                title: 'Tenant',
                cell: ({ tenant, role }: ApiKey) =>
                  role === 'operator' ? tenant : <Link href={to('tenants', tenant)}>{tenant}</Link>,
              },
            ]
          : []),
        { title: 'Role', cell: ({ role }) => role },
        { title: 'State', cell: (key) => <KeyState apiKey={key} /> },
        {
          title: 'May use',
          cell: ({ models, limits }) => (
            <>
              {modelsText(models)}
              {limitsText(limits) !== null && <div class="muted small">{limitsText(limits)}</div>}
            </>
          ),
        },
        {
          title: 'Spent of its budgets',
          cell: ({ id, limits }) => <SpendBars path={`/admin/v1/keys/${id}`} limits={limits} />,
        },
        {
          title: 'Actions',
          cell: (key) => <KeyActions apiKey={key} reload={reload} onRotated={onRotated} />,
        },
      ]}
    />
  );
}

function KeyState({ apiKey: { blocked, expires } }: { readonly apiKey: ApiKey }) {
  if (blocked) return <Badge tone="bad">blocked</Badge>;
  if (expires === null) return <Badge tone="good">active</Badge>;
  if (expires * 1_000 <= Date.now()) return <Badge tone="bad">expired {relative(expires)}</Badge>;
  return <Badge tone="warn">ends {relative(expires)}</Badge>;
}
