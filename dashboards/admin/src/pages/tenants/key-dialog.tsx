import { useState } from 'preact/hooks';
import { ask } from '../../api/client.ts';
import type { ApiKey, Role } from '../../api/types.ts';
import { Dialog } from '../../components/dialog.tsx';
import { SelectField, TextField } from '../../components/fields.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { TenantSelect } from '../../components/tenant-select.tsx';
import { useAction } from '../../hooks/action.ts';
import { limitsOf, modelsOf, textsOf } from './limit-fields.ts';
import { LimitsFields } from './limits-form.tsx';

interface KeyDialogProps {
  /** Whose it is; null: chosen here. */
  readonly tenant: string | null;
  readonly onClose: () => void;
  /** Is given the key with its text. */
  readonly onDone: (key: ApiKey) => void;
}

const DAY_SECONDS = 86_400;
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

export function KeyDialog({ tenant, onClose, onDone }: KeyDialogProps) {
  const [whose, setWhose] = useState(tenant ?? '');
  const [alias, setAlias] = useState('');
  const [role, setRole] = useState<Role>(tenant === null ? 'operator' : 'user');
  const [models, setModels] = useState('*');
  const [days, setDays] = useState('');
  const [limits, setLimits] = useState(() => textsOf({}));
  const { isBusy, error, run } = useAction();
  const isOperators = whose === '';
  const roles: readonly Role[] = isOperators ? ['operator', 'user'] : ['user', 'admin'];
  const chooseTenant = (id: string) => {
    setWhose(id);
    setRole(id === '' ? 'operator' : 'user');
  };
  const onSubmit = (event: Event) => {
    event.preventDefault();
    const body = {
      ...(isOperators ? {} : { tenant: whose }),
      role,
      alias: alias.trim() === '' ? null : alias.trim(),
      models: modelsOf(models),
      expires: days === '' ? null : Math.round(Date.now() / 1_000) + Number(days) * DAY_SECONDS,
      limits: limitsOf(limits),
    };
    void run(async () => onDone(await ask<ApiKey>('POST', '/admin/v1/keys', { body })));
  };
  return (
    <Dialog title={tenant === null ? 'Create a key' : `Create a key of ${tenant}`} onClose={onClose} isWide>
      <form class="stack" onSubmit={onSubmit}>
        {tenant === null && (
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
          <SelectField label="Ends" value={days} onInput={setDays} options={ENDS} />
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
        <div class="actions end">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="button primary" disabled={isBusy}>
            {isBusy ? 'Creating …' : 'Create the key'}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
