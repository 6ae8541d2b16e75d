import { useState } from 'preact/hooks';
import { ask, pathOf } from '../../api/client.ts';
import type { ApiKey, Role } from '../../api/types.ts';
import { Dialog } from '../../components/dialog.tsx';
import { DialogActions } from '../../components/dialog-actions.tsx';
import { SelectField, TextField } from '../../components/fields.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { TenantSelect } from '../../components/tenant-select.tsx';
import { date } from '../../format/times.ts';
import { useAction } from '../../hooks/action.ts';
import { limitsOf, modelsOf, textsOf } from './limit-fields.ts';
import { LimitsFields } from './limits-form.tsx';

interface KeyDialogProps {
  /** What is changed; a new one where there is none. */
  readonly apiKey?: ApiKey;
  /** Whose it is; null: chosen here. */
  readonly tenant: string | null;
  readonly onClose: () => void;
  /** Is given the key, with its text if it is new. */
  readonly onDone: (key: ApiKey) => void;
}

const DAY_SECONDS = 86_400;
/** When it ends stays as it is. */
const KEEP = 'keep';
const ENDS = [
  { value: '', label: 'Never' },
  { value: '1', label: 'In a day' },
  { value: '30', label: 'In 30 days' },
  { value: '90', label: 'In 90 days' },
  { value: '365', label: 'In a year' },
] as const;

const ROLES: Readonly<Record<Role, string>> = {
  user: 'User: asks models',
  admin: 'Administrator of its tenant',
  operator: 'Operator: everything',
};

/** Makes a key, or changes one. */
export function KeyDialog({ apiKey, tenant, onClose, onDone }: KeyDialogProps) {
  const [whose, setWhose] = useState(tenant ?? '');
  const [alias, setAlias] = useState(apiKey?.alias ?? '');
  const [role, setRole] = useState<Role>(
    apiKey?.role ?? (isOperatorTenant(tenant ?? '') ? 'operator' : 'user'),
  );
  const [models, setModels] = useState((apiKey?.models ?? ['*']).join(', '));
  const [days, setDays] = useState(apiKey === undefined ? '' : KEEP);
  const [limits, setLimits] = useState(() => textsOf(apiKey?.limits ?? {}));
  const { isBusy, error, run } = useAction();
  const isOperators = isOperatorTenant(apiKey?.tenant ?? whose);
  const roles: readonly Role[] = isOperators ? ['operator', 'user'] : ['user', 'admin'];
  const chooseTenant = (id: string) => {
    setWhose(id);
    setRole(isOperatorTenant(id) ? 'operator' : 'user');
  };
  const name = apiKey?.alias ?? apiKey?.id;
  const title =
    name !== undefined ? `Change ${name}` : tenant === null ? 'Create a key' : `Create a key of ${tenant}`;
  const ends =
    apiKey === undefined ? ENDS : [{ value: KEEP, label: `As it is: ${endText(apiKey)}` }, ...ENDS];
  const onSubmit = (event: Event) => {
    event.preventDefault();
    const fields = {
      role,
      alias: alias.trim() === '' ? null : alias.trim(),
      models: modelsOf(models),
      limits: limitsOf(limits),
      ...(days === KEEP ? {} : { expires: days === '' ? null : inDays(Number(days)) }),
    };
    void run(async () => {
      const path = '/admin/v1/keys';
      if (apiKey !== undefined) onDone(await ask<ApiKey>('PATCH', pathOf(path, apiKey.id), { body: fields }));
      else
        onDone(
          await ask<ApiKey>('POST', path, { body: isOperators ? fields : { tenant: whose, ...fields } }),
        );
    });
  };
  return (
    <Dialog title={title} onClose={onClose} isWide>
      <form class="stack" onSubmit={onSubmit}>
        {tenant === null && apiKey === undefined && (
          <TenantSelect
            label="Tenant"
            value={whose}
            onInput={chooseTenant}
            none="The operator"
            without="operator"
          />
        )}
        <div class="row">
          <TextField label="Alias" value={alias} onInput={setAlias} hint="What it is for, such as web shop" />
          <SelectField
            label="Role"
            value={role}
            onInput={(value) => setRole(value as Role)}
            options={roles.map((value) => ({ value, label: ROLES[value] }))}
          />
          <SelectField label="Ends" value={days} onInput={setDays} options={ends} />
        </div>
        <TextField
          label="Models it may use"
          value={models}
          onInput={setModels}
          isMono
          hint="With commas, of those that its tenant may use. * is all of them; empty is none."
        />
        <LimitsFields texts={limits} onInput={setLimits} />
        {error !== null && <ErrorNote error={error} />}
        <DialogActions
          action={apiKey === undefined ? 'Create the key' : 'Save'}
          busyAction="Saving …"
          isBusy={isBusy}
          onClose={onClose}
        />
      </form>
    </Dialog>
  );
}

/** Operators' own; '' where none is chosen. */
function isOperatorTenant(id: string): boolean {
  return id === '' || id === 'operator';
}

/** Unix time in seconds. */
function inDays(days: number): number {
  return Math.round(Date.now() / 1_000) + days * DAY_SECONDS;
}

function endText({ expires }: ApiKey): string {
  return expires === null ? 'never' : date(expires);
}
