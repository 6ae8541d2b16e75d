import { ask } from '../api/client.ts';
import type { Page, Tenant } from '../api/types.ts';
import { useResource } from '../hooks/resource.ts';
import { useSession } from '../hooks/session.tsx';
import { SelectField, TextField } from './fields.tsx';

interface TenantSelectProps {
  readonly label: string;
  readonly value: string;
  readonly onInput: (tenant: string) => void;
  /** What no tenant stands for: 'All tenants'. */
  readonly none: string;
  readonly hint?: string;
  /** One that no tenant stands for already. */
  readonly without?: string;
}

const MOST = 1_000;

/** Chooses a tenant, for operators; where there are more than a list can show, its id is typed. */
export function TenantSelect({ label, value, onInput, none, hint, without }: TenantSelectProps) {
  const { server } = useSession();
  const tenants = useResource(server.checks_keys ? 'tenants' : null, (signal) =>
    ask<Page<Tenant>>('GET', `/admin/v1/tenants?limit=${MOST}`, { signal }),
  );
  if (!server.checks_keys) return null;
  if (tenants.data?.has_more === true) {
    return <TextField label={label} value={value} onInput={onInput} placeholder={none} hint={hint} />;
  }
  const ids = tenants.data?.data.map(({ id }) => id).filter((id) => id !== without) ?? [];
  // It stays what it is while the list comes.
  const known = value === '' || ids.includes(value) ? ids : [value, ...ids];
  const options = [{ value: '', label: none }, ...known.map((id) => ({ value: id, label: id }))];
  return <SelectField label={label} value={value} onInput={onInput} options={options} hint={hint} />;
}
