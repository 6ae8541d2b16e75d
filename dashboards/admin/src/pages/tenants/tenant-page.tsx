import { useState } from 'preact/hooks';
import { ask, pathOf } from '../../api/client.ts';
import type { Tenant } from '../../api/types.ts';
import { useAnnounce } from '../../components/announcer.tsx';
import { Badge } from '../../components/badge.tsx';
import { ConfirmDialog } from '../../components/confirm-dialog.tsx';
import { Facts } from '../../components/facts.tsx';
import { Page, Panel } from '../../components/page.tsx';
import { ErrorNote, Loaded } from '../../components/states.tsx';
import { date } from '../../format/times.ts';
import { useAction } from '../../hooks/action.ts';
import { useResource } from '../../hooks/resource.ts';
import { useIsOperator } from '../../hooks/session.tsx';
import { Link, useLocation } from '../../router/location.tsx';
import { KeysPanel } from './keys-panel.tsx';
import { limitsText } from './limit-fields.ts';
import { SpendBars } from './spend-bars.tsx';
import { SpendPanel } from './spend-panel.tsx';
import { TenantDialog } from './tenant-dialog.tsx';
import { modelsText } from './tenants.tsx';

/** Operators' own, which is always there. */
const OPERATOR_TENANT = 'operator';

/** One tenant: what it may use, what it used, its keys. */
export function TenantPage({ id }: { readonly id: string }) {
  const isOperator = useIsOperator();
  const path = pathOf('/admin/v1/tenants', id);
  const tenant = useResource(path, (signal) => ask<Tenant>('GET', path, { signal }));
  return (
    <Page
      title={id}
      lead={
        isOperator ? (
          <Link href="/tenants">All tenants</Link>
        ) : (
          'Your tenant: its limits, its keys and what it spent.'
        )
      }
      actions={isOperator && tenant.data !== null && <Changes tenant={tenant.data} reload={tenant.reload} />}
    >
      <Loaded resource={tenant} rows={8}>
        {(data) => (
          <>
            <div class="grid">
              <Panel title="What it may use">
                <Facts
                  facts={[
                    ['Name', data.name],
                    [
                      'State',
                      data.blocked ? <Badge tone="bad">blocked</Badge> : <Badge tone="good">active</Badge>,
                    ],
                    ['Models', modelsText(data.models)],
                    ['Weight', `${data.weight}${data.allow_priority ? ', may ask with priority' : ''}`],
                    ['Limits', limitsText(data.limits) ?? 'none'],
                    ['Made', date(data.created)],
                  ]}
                />
              </Panel>
              <Panel title="Budgets">
                <SpendBars path={path} limits={data.limits} />
              </Panel>
            </div>
            <KeysPanel tenant={id} />
            <SpendPanel path={path} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Changes({ tenant, reload }: { readonly tenant: Tenant; readonly reload: () => void }) {
  const { id, blocked } = tenant;
  const path = pathOf('/admin/v1/tenants', id);
  const announce = useAnnounce();
  const { go } = useLocation();
  const { isBusy, error, run } = useAction();
  const [open, setOpen] = useState<'change' | 'block' | 'delete' | null>(null);
  const close = () => setOpen(null);
  const setBlocked = async (isBlocked: boolean) => {
    await ask('PATCH', path, { body: { blocked: isBlocked } });
    announce(isBlocked ? `${id} is blocked.` : `${id} may ask again.`);
    reload();
  };
  const remove = async () => {
    await ask('DELETE', path);
    announce(`${id} is removed.`);
    go('/tenants');
  };
  return (
    <>
      {error !== null && <ErrorNote error={error} />}
      <button type="button" class="button" onClick={() => setOpen('change')}>
        Change
      </button>
      {id !== OPERATOR_TENANT && (
        <>
          {blocked ? (
            <button
              type="button"
              class="button"
              disabled={isBusy}
              onClick={() => void run(() => setBlocked(false))}
            >
              Unblock
            </button>
          ) : (
            <button type="button" class="button" onClick={() => setOpen('block')}>
              Block
            </button>
          )}
          <button type="button" class="button danger" onClick={() => setOpen('delete')}>
            Remove
          </button>
        </>
      )}
      {open === 'change' && (
        <TenantDialog
          tenant={tenant}
          onClose={close}
          onDone={() => {
            close();
            announce(`${id} is changed.`);
            reload();
          }}
        />
      )}
      {open === 'block' && (
        <ConfirmDialog
          title={`Block ${id}?`}
          action="Block it"
          onConfirm={() => setBlocked(true)}
          onClose={close}
        >
          <p>All of its keys are refused within a second, at every server, until it is unblocked.</p>
        </ConfirmDialog>
      )}
      {open === 'delete' && (
        <ConfirmDialog
          title={`Remove ${id}?`}
          action="Remove the tenant"
          typed={id}
          onConfirm={remove}
          onClose={close}
        >
          <p>
            Its keys and its cached answers go with it, and its id is never used again. This cannot be undone.
          </p>
        </ConfirmDialog>
      )}
    </>
  );
}
