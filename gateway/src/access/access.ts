import type { Principal } from '@polylora/adapters-store';
import type { ApiKey, Role, Tenant } from '../tenants/tenant.ts';

/** Who asks, and what they may do: set once for each request, before any route sees it. */
export interface Access {
  readonly principal: Principal;
  readonly role: Role;
  /** null where keys are not checked, and for the key of the server's configuration. */
  readonly tenant: Tenant | null;
  readonly key: ApiKey | null;
}

/** What the operator's own adapters belong to. */
export const OPERATOR: Access['principal'] = { tenant: 'operator', key: null };

/** Whoever has the operator's key of the configuration. */
export const OPERATOR_ACCESS: Access = { principal: OPERATOR, role: 'operator', tenant: null, key: null };
