import { hash } from 'node:crypto';
import type { Principal } from '@polylora/adapters-store';

/** Requests without a key are one tenant's. */
const ANONYMOUS = 'anonymous';

/** Who asks: keys have no grants of their own yet. */
export function principalOf(authorization: string | undefined): Principal {
  return { tenant: tenantOf(authorization), key: null };
}

/**
 * Who a request is from, as long as keys are not checked: requests with one API key are one tenant's. Never the key
 * itself, because tenants appear in metrics and logs.
 */
export function tenantOf(authorization: string | undefined): string {
  const key = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
  return key === undefined ? ANONYMOUS : `key-${hash('sha256', key, 'hex').slice(0, 12)}`;
}
