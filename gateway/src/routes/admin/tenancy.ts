import type { Context } from 'hono';
import { ApiError } from '../../errors.ts';
import type { GatewayEnv } from '../../http/context.ts';
import type { Logger } from '../../logging.ts';
import type { TenantsHost } from '../../tenants/tenants-host.ts';

const FIRST_DAY = '0000-01-01';
const LAST_DAY = '9999-12-31';
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** What the routes of tenants and keys work with. */
export interface TenancyDeps {
  /** null until it is open, and where keys are not checked. */
  readonly tenants: () => TenantsHost | null;
  readonly checksKeys: boolean;
  readonly logger: Logger;
}

/** @throws ApiError keys_disabled, engine_unavailable */
export function openedTenants({ tenants, checksKeys }: Omit<TenancyDeps, 'logger'>): TenantsHost {
  const open = tenants();
  if (open !== null) return open;
  if (!checksKeys)
    throw new ApiError('keys_disabled', 'This server checks no keys (--auth off), and so it keeps none.');
  throw new ApiError('engine_unavailable', 'The server is starting. Please try again soon.');
}

/** Who asks, as the audit log names it. */
export function actorName(c: Context<GatewayEnv>): string {
  const { actor, tenant } = c.get('access').principal;
  return actor ?? tenant;
}

/** The tenant whose things whoever asks may see; null: all tenants'. */
export function scopeOf(c: Context<GatewayEnv>): string | null {
  const { role, principal } = c.get('access');
  return role === 'operator' ? null : principal.tenant;
}

/** The days that a request for spend is about. @throws ApiError */
export function daysOf(c: Context<GatewayEnv>): { readonly from: string; readonly to: string } {
  const { from = FIRST_DAY, to = LAST_DAY } = c.req.query();
  for (const [param, day] of [
    ['from', from],
    ['to', to],
  ] as const) {
    if (!DAY.test(day))
      throw new ApiError('invalid_value', `Invalid '${param}': expected a day such as 2026-11-22.`, param);
  }
  if (from > to) throw new ApiError('invalid_value', `Invalid 'from': it is after 'to' (${to}).`, 'from');
  return { from, to };
}
