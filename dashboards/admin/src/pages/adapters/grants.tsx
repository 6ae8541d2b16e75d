import { useState } from 'preact/hooks';
import { ask, withQuery } from '../../api/client.ts';
import type { Adapter, Grant } from '../../api/types.ts';
import { useAnnounce } from '../../components/announcer.tsx';
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

export function Grants({ adapter: { owner, grants }, canChange, path, tenant, reload }: GrantsProps) {
  const announce = useAnnounce();
  const { isBusy, error, run } = useAction();
  const [whom, setWhom] = useState<Whom>('tenant');
  const [grantee, setGrantee] = useState('');
  const change = (method: 'PUT' | 'DELETE', { kind, grantee: id }: Grant) =>
    run(async () => {
      await ask(method, withQuery(`${path}/grants`, { tenant }), { body: { [kind]: id } });
      announce(
        method === 'PUT' ? `Granted to ${granteeText({ kind, grantee: id })}.` : 'The grant is taken back.',
      );
      reload();
    });
  const grant = async (event: Event) => {
    event.preventDefault();
    const given: Grant =
      whom === 'everybody' ? { kind: 'tenant', grantee: EVERYBODY } : { kind: whom, grantee: grantee.trim() };
    if (await change('PUT', given)) setGrantee('');
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
              <button
                type="button"
                class="button small"
                disabled={isBusy}
                onClick={() => void change('DELETE', given)}
              >
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
    </div>
  );
}

function granteeText({ kind, grantee }: Grant): string {
  if (grantee === EVERYBODY) return 'Everybody';
  return kind === 'tenant' ? `Tenant ${grantee}` : `Key ${grantee}`;
}
