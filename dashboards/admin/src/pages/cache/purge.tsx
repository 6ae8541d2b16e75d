import { useState } from 'preact/hooks';
import type { Purged } from '../../api/cache-types.ts';
import { ask } from '../../api/client.ts';
import { useAnnounce } from '../../components/announcer.tsx';
import { ConfirmDialog } from '../../components/confirm-dialog.tsx';
import { TextField } from '../../components/fields.tsx';
import { Panel } from '../../components/page.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { TenantSelect } from '../../components/tenant-select.tsx';
import { bytes, count } from '../../format/numbers.ts';
import { useAction } from '../../hooks/action.ts';
import { useIsOperator } from '../../hooks/session.tsx';
import { purgeBody, purgeText } from './purge-filter.ts';

/** Takes answers out: first it is told how many that would be. */
export function Purge() {
  const isOperator = useIsOperator();
  const announce = useAnnounce();
  const [id, setId] = useState('');
  const [tenant, setTenant] = useState('');
  const [model, setModel] = useState('');
  const [root, setRoot] = useState('');
  const [category, setCategory] = useState('');
  const [tag, setTag] = useState('');
  const [isConfirming, setIsConfirming] = useState(false);
  const [counted, setCounted] = useState<{ readonly of: string; readonly found: Purged } | null>(null);
  const { isBusy, error, run } = useAction();
  const filter = { id, tenant, model, root, category, tag };
  const body = purgeBody(filter);
  const text = purgeText(filter);
  // A count is of the filter that it was made for.
  const found = counted?.of === JSON.stringify(body) ? counted.found : null;
  const purge = (isDryRun: boolean) =>
    ask<Purged>('POST', '/admin/v1/cache/purge', { body: { ...body, dry_run: isDryRun } });
  const onSubmit = (event: Event) => {
    event.preventDefault();
    void run(async () => setCounted({ of: JSON.stringify(body), found: await purge(true) }));
  };
  const onConfirm = async () => {
    const { entries } = await purge(false);
    setCounted(null);
    announce(`${count(entries)} entries are taken out.`);
  };
  return (
    <Panel title="Take answers out">
      <form class="stack" onSubmit={onSubmit}>
        <p class="muted">
          All that is filled in has to match. With nothing filled in it is everything that you may see.
        </p>
        <div class="row">
          {isOperator && (
            <TenantSelect label="Tenant" value={tenant} onInput={setTenant} none="All tenants" />
          )}
          <TextField label="Category" value={category} onInput={setCategory} placeholder="Any" />
          <TextField label="Tag" value={tag} onInput={setTag} placeholder="Any" />
        </div>
        <div class="row">
          <TextField label="Model" value={model} onInput={setModel} placeholder="Any" isMono />
          <TextField label="Weights (digest)" value={root} onInput={setRoot} placeholder="Any" isMono />
          <TextField label="Entry’s id" value={id} onInput={setId} placeholder="Any" isMono />
        </div>
        {error !== null && <ErrorNote error={error} />}
        <div role="status">
          {found !== null && (
            <p class="note">
              {found.entries === 0
                ? 'Nothing matches: there is nothing to take out.'
                : `${count(found.entries)} entries with ${bytes(found.bytes)} match ${text}.`}
            </p>
          )}
        </div>
        <div class="actions">
          <button type="submit" class="button" disabled={isBusy}>
            {isBusy ? 'Counting …' : 'Count what matches'}
          </button>
          <button
            type="button"
            class="button danger"
            disabled={found === null || found.entries === 0}
            onClick={() => setIsConfirming(true)}
          >
            Take them out …
          </button>
        </div>
      </form>
      {isConfirming && found !== null && (
        <ConfirmDialog
          title={`Take ${count(found.entries)} entries out?`}
          action="Take them out"
          typed="purge"
          onConfirm={onConfirm}
          onClose={() => setIsConfirming(false)}
        >
          <p>
            They match {text}, and are gone from memory, index and store at every server. This cannot be
            undone; the questions are answered anew when they are asked.
          </p>
        </ConfirmDialog>
      )}
    </Panel>
  );
}
