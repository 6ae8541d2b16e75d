import type { Principal } from '@polylora/adapters-store';
import type { Context } from 'hono';
import { ApiError } from '../../errors.ts';
import type { GatewayEnv } from '../../http/context.ts';
import { textValue } from '../../openai/fields.ts';

/** Who administers adapters: whoever asks, or, for an operator who names one (`?tenant=acme`), that tenant. */
export function actorOf(c: Context<GatewayEnv>): Principal {
  const { principal, role } = c.get('access');
  const tenant = c.req.query('tenant');
  if (tenant === undefined || tenant === principal.tenant) return principal;
  if (role !== 'operator')
    throw new ApiError('insufficient_permissions', "This needs an operator's key.", 'tenant');
  return { tenant: textValue(tenant, 'tenant', 64), key: null, actor: principal.actor ?? principal.tenant };
}

/** A tenant's adapters are called `tenant/…`: nobody takes names that others, or clients, know as somebody else's. */
export function assertOwnName(c: Context<GatewayEnv>, name: string): void {
  const { role, principal } = c.get('access');
  if (role === 'operator' || name.startsWith(`${principal.tenant}/`)) return;
  const message = `Your tenant's adapters have names that begin with '${principal.tenant}/'.`;
  throw new ApiError('insufficient_permissions', message, 'name');
}
