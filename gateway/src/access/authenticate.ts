import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import { isOfDashboard } from '../dashboard/paths.ts';
import { ApiError } from '../errors.ts';
import type { GatewayEnv } from '../http/context.ts';
import type { Proxies } from '../http/proxies.ts';
import type { Access } from './access.ts';
import type { Authenticator } from './authenticator.ts';
import { assertOwnPage, sessionText, signedIn } from './session-request.ts';
import type { Sessions } from './sessions.ts';

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

/** What finds out who asks. */
export interface AccessDeps {
  /** null until keys can be looked up. */
  readonly authenticator: () => Authenticator | null;
  /** Of people at the dashboard; null until the server's secret is read, and where nobody can sign in: a cookie is somebody else's then. */
  readonly sessions: () => Sessions | null;
  /** By what they say a session's cookie is one for https alone. */
  readonly proxies: Proxies;
}

/**
 * Finds out who asks, on every path that is not public, also on those that are no route: whoever may not come in is not told
 * what there is. The only place that reads a client's key, but for signing in, which has one in its body. Where there is none a session
 * stands for the key that it was begun with.
 */
export function authenticate(deps: AccessDeps) {
  return createMiddleware<GatewayEnv>(async (c, next) => {
    const { method, path } = c.req;
    if (!PUBLIC_PATHS.has(path) && !isOfDashboard(method, path)) {
      const authorization = c.req.header('authorization');
      const open = opened(deps.authenticator);
      const sessions = deps.sessions();
      const session = isBearer(authorization) || sessions === null ? null : sessionText(c, deps.proxies);
      const found =
        session === null || sessions === null
          ? open.client(authorization)
          : accessOfSession(c, session, sessions, open);
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

/** Whether somebody sends a key, if only what they take for one. Of another scheme it is for a proxy before us, which asks for a password of its own. */
function isBearer(authorization: string | undefined): boolean {
  return authorization !== undefined && /^bearer\b/i.test(authorization);
}

/** @throws ApiError session_required, csrf_token_required, cross_origin_refused */
async function accessOfSession(
  c: Context<GatewayEnv>,
  text: string,
  sessions: Sessions,
  authenticator: Authenticator,
): Promise<Access> {
  const { session, access } = await signedIn(text, sessions, authenticator);
  assertOwnPage(c, session);
  c.set('session', session);
  return access;
}

/** Lets administrators pass: operators, and tenants' own. */
export function administratorsOnly(authenticator: () => Authenticator | null) {
  return createMiddleware<GatewayEnv>(async (c, next) => {
    // Nobody else has a session.
    if (c.get('session') !== undefined) return next();
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

/** @throws ApiError engine_unavailable */
export function opened(authenticator: () => Authenticator | null): Authenticator {
  const open = authenticator();
  if (open === null)
    throw new ApiError('engine_unavailable', 'The server is starting. Please try again soon.');
  return open;
}
