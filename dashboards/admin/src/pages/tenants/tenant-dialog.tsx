import { useState } from 'preact/hooks';
import { ask, pathOf } from '../../api/client.ts';
import type { Tenant } from '../../api/types.ts';
import { Dialog } from '../../components/dialog.tsx';
import { DialogActions } from '../../components/dialog-actions.tsx';
import { Checkbox, TextField } from '../../components/fields.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { useAction } from '../../hooks/action.ts';
import { limitsOf, modelsOf, textsOf } from './limit-fields.ts';
import { LimitsFields } from './limits-form.tsx';

interface TenantDialogProps {
  /** What is changed; a new one where there is none. */
  readonly tenant?: Tenant;
  readonly onClose: () => void;
  readonly onDone: (tenant: Tenant) => void;
}

/** Makes a tenant, or changes one. */
export function TenantDialog({ tenant, onClose, onDone }: TenantDialogProps) {
  const [id, setId] = useState(tenant?.id ?? '');
  const [name, setName] = useState(tenant?.name ?? '');
  const [models, setModels] = useState((tenant?.models ?? ['*']).join(', '));
  const [weight, setWeight] = useState(`${tenant?.weight ?? 1}`);
  const [allowsPriority, setAllowsPriority] = useState(tenant?.allow_priority ?? false);
  const [limits, setLimits] = useState(() => textsOf(tenant?.limits ?? {}));
  const { isBusy, error, run } = useAction();
  const onSubmit = (event: Event) => {
    event.preventDefault();
    const fields = {
      name: name.trim() === '' ? null : name.trim(),
      models: modelsOf(models),
      weight: Number(weight),
      allow_priority: allowsPriority,
      limits: limitsOf(limits),
    };
    void run(async () => {
      const made =
        tenant === undefined
          ? await ask<Tenant>('POST', '/admin/v1/tenants', { body: { id: id.trim(), ...fields } })
          : await ask<Tenant>('PATCH', pathOf('/admin/v1/tenants', tenant.id), { body: fields });
      onDone(made);
    });
  };
  const problem = (param: string) => (error?.param === param ? error.message : null);
  return (
    <Dialog title={tenant === undefined ? 'Create a tenant' : `Change ${tenant.id}`} onClose={onClose} isWide>
      <form class="stack" onSubmit={onSubmit}>
        <div class="row">
          {tenant === undefined && (
            <TextField
              label="Id"
              value={id}
              onInput={setId}
              isRequired
              isMono
              problem={problem('id')}
              hint="Such as acme: its adapters are called acme/…. It stays for good."
            />
          )}
          <TextField label="Name" value={name} onInput={setName} hint="For people; may be empty" />
        </div>
        <TextField
          label="Models it may use"
          value={models}
          onInput={setModels}
          isMono
          problem={problem('models')}
          hint="With commas. * is all, base the base model, acme/* all adapters of acme; empty is none."
        />
        <div class="row">
          <TextField
            label="Weight"
            type="number"
            min={0.01}
            step="any"
            value={weight}
            onInput={setWeight}
            isRequired
            problem={problem('weight')}
            hint="Its share of the machine beside others’"
          />
          <Checkbox
            label="May ask with priority"
            isChecked={allowsPriority}
            onChange={setAllowsPriority}
            hint="service_tier: priority comes first"
          />
        </div>
        <LimitsFields texts={limits} onInput={setLimits} />
        {error !== null && <ErrorNote error={error} />}
        <DialogActions
          action={tenant === undefined ? 'Create' : 'Save'}
          busyAction="Saving …"
          isBusy={isBusy}
          onClose={onClose}
        />
      </form>
    </Dialog>
  );
}
