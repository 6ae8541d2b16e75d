import { createMiddleware } from 'hono/factory';
import { ApiError } from '../errors.ts';
import type { GatewayEnv } from '../http/context.ts';
import type { Authenticator } from './authenticator.ts';

/** Nobody's: what asks for them has no key, and they tell nothing but what every server of this version would. */
const PUBLIC_PATHS: ReadonlySet<string> = new Set([
  '/healthz',
  '/readyz',
  '/openapi.json',
  '/docs',
  '/docs/start.js',
  '/docs/swagger-ui.css',
  '/docs/swagger-ui-bundle.js',
]);

/**
 * Finds out who asks, on every path that is not public, also on those that are no route: whoever may not come in is not told
 * what there is. The only place that reads a client's key.
 *
 * @param authenticator null until keys can be looked up
 */
export function authenticate(authenticator: () => Authenticator | null) {
  return createMiddleware<GatewayEnv>(async (c, next) => {
    if (!PUBLIC_PATHS.has(c.req.path)) {
      const found = opened(authenticator).client(c.req.header('authorization'));
      const access = found instanceof Promise ? await found : found;
      c.set('access', access);
      const { tenant, key } = access.principal;
      Object.assign(c.get('log'), key === null ? { tenant } : { tenant, key });
      const record = c.get('record');
      if (record !== undefined) Object.assign(record, { tenant, key });
    }
    await next();
  });
}

/** Lets administrators pass: operators, and tenants' own. */
export function administratorsOnly(authenticator: () => Authenticator | null) {
  return createMiddleware<GatewayEnv>(async (c, next) => {
    c.set('access', opened(authenticator).administrator(c.get('access'), c.req.header('authorization')));
    await next();
  });
}

/** Lets operators pass, after `administratorsOnly` where that is needed. */
export function operatorsOnly() {
  return createMiddleware<GatewayEnv>(async (c, next) => {
    if (c.get('access').role !== 'operator')
      throw new ApiError('insufficient_permissions', "This needs an operator's key.");
    await next();
  });
}

function opened(authenticator: () => Authenticator | null): Authenticator {
  const open = authenticator();
  if (open === null)
    throw new ApiError('engine_unavailable', 'The server is starting. Please try again soon.');
  return open;
}
