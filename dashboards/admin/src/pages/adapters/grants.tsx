import { useState } from 'preact/hooks';
import { ask, withQuery } from '../../api/client.ts';
import type { Adapter, Grant } from '../../api/types.ts';
import { useAnnounce } from '../../components/announcer.tsx';
import { ConfirmDialog } from '../../components/confirm-dialog.tsx';
import { SelectField, TextField } from '../../components/fields.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { useAction } from '../../hooks/action.ts';
import type { AdapterContext } from './adapter-page.tsx';

interface GrantsProps extends AdapterContext {
  readonly adapter: Adapter;
  /** Giving adapters to others is the operator's affair. */
  readonly canChange: boolean;
}

const EVERYBODY = '*';
type Whom = 'tenant' | 'key' | 'everybody';

export function Grants({ adapter: { name, owner, grants }, canChange, path, tenant, reload }: GrantsProps) {
  const announce = useAnnounce();
  const { isBusy, error, run } = useAction();
  const [whom, setWhom] = useState<Whom>('tenant');
  const [grantee, setGrantee] = useState('');
  const [withdrawn, setWithdrawn] = useState<Grant | null>(null);
  const change = async (method: 'PUT' | 'DELETE', { kind, grantee: id }: Grant) => {
    await ask(method, withQuery(`${path}/grants`, { tenant }), { body: { [kind]: id } });
    announce(
      method === 'PUT' ? `Granted to ${granteeText({ kind, grantee: id })}.` : 'The grant is taken back.',
    );
    reload();
  };
  const grant = async (event: Event) => {
    event.preventDefault();
    const given: Grant =
      whom === 'everybody' ? { kind: 'tenant', grantee: EVERYBODY } : { kind: whom, grantee: grantee.trim() };
    if (await run(() => change('PUT', given))) setGrantee('');
  };
  return (
    <div class="stack">
      <ul class="stack">
        <li>
          {owner} <span class="muted">owns it</span>
        </li>
        {grants.map((given) => (
          <li key={`${given.kind} ${given.grantee}`} class="spread">
            <span>{granteeText(given)}</span>
            {canChange && (
              <button type="button" class="button small" onClick={() => setWithdrawn(given)}>
                Take back<span class="unseen"> from {granteeText(given)}</span>
              </button>
            )}
          </li>
        ))}
      </ul>
      {error !== null && <ErrorNote error={error} />}
      {canChange ? (
        <form class="row" onSubmit={(event) => void grant(event)}>
          <SelectField
            label="Grant to"
            value={whom}
            onInput={(value) => setWhom(value as Whom)}
            options={[
              { value: 'tenant', label: 'A tenant' },
              { value: 'key', label: 'A key' },
              { value: 'everybody', label: 'Everybody' },
            ]}
          />
          {whom !== 'everybody' && (
            <TextField
              label={whom === 'tenant' ? 'Tenant' : 'Key’s id'}
              value={grantee}
              onInput={setGrantee}
              isRequired
              isMono
            />
          )}
          <button
            type="submit"
            class="button"
            disabled={isBusy || (whom !== 'everybody' && grantee.trim() === '')}
          >
            Grant
          </button>
        </form>
      ) : (
        <p class="small muted">An operator can grant it to other tenants.</p>
      )}
      {withdrawn !== null && (
        <ConfirmDialog
          title={`Take it back from ${inSentence(withdrawn)}?`}
          action="Take it back"
          onConfirm={() => change('DELETE', withdrawn)}
          onClose={() => setWithdrawn(null)}
        >
          <p>
            Their requests for {name} are answered from then on that there is no such model, unless another
            grant lets them use it.
          </p>
        </ConfirmDialog>
      )}
    </div>
  );
}

/** Not at a sentence's beginning. */
function inSentence(grant: Grant): string {
  const text = granteeText(grant);
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function granteeText({ kind, grantee }: Grant): string {
  if (grantee === EVERYBODY) return 'Everybody';
  return kind === 'tenant' ? `Tenant ${grantee}` : `Key ${grantee}`;
}
