/** `/admin/session`: signing in to the dashboard, and out. */
import type { Context } from 'hono';
import { deleteCookie, setCookie } from 'hono/cookie';
import { z } from 'zod';
import { opened } from '../../access/authenticate.ts';
import {
  assertSameOrigin,
  SECURE_PREFIX,
  SESSION_COOKIE,
  type SignedIn,
  sessionText,
  signedIn,
} from '../../access/session-request.ts';
import { SignInAttempts } from '../../access/sign-in-attempts.ts';
import type { GatewayEnv } from '../../http/context.ts';
import { readJsonBody } from '../../http/json-body.ts';
import { parse } from '../../openai/parse.ts';
import { text } from '../../openai/schema-parts.ts';
import { VERSION } from '../../version.ts';
import type { GatewayDeps } from '../deps.ts';
import { opened as openedService } from './asked.ts';

const BODY_LIMIT_BYTES = 4 << 10;
const MOST_KEY = 512;

export const signInBody = z.strictObject({
  key: text(MOST_KEY).meta({ description: "An operator's key, or one of a tenant's administrator." }),
});

/** An answer has the session's token. */
const UNKEPT = { 'cache-control': 'no-store' } as const;

const COOKIE = { httpOnly: true, sameSite: 'Strict', path: '/' } as const;
const SECURE_COOKIE = { ...COOKIE, secure: true, prefix: SECURE_PREFIX } as const;

/** `POST /admin/session` */
export function beginSessionRoute(deps: GatewayDeps) {
  const attempts = new SignInAttempts();
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    assertSameOrigin(c);
    const { key } = parse(signInBody, await readJsonBody(c, BODY_LIMIT_BYTES));
    const { address, isSecure } = deps.proxies.origin(c);
    await attempts.begin(address);
    // A key that was copied often has a line's end with it.
    const { proof, access } = await opened(deps.authenticator).signIn(key.trim());
    await attempts.succeeded(address);
    const { session, text: cookie } = await openedService(deps.sessions()).begin(proof);
    setCookie(c, SESSION_COOKIE, cookie, isSecure ? SECURE_COOKIE : COOKIE);
    const { tenant, key: id } = access.principal;
    Object.assign(c.get('log'), id === null ? { tenant } : { tenant, key: id });
    return c.json(sessionBody({ session, access }, deps), 200, UNKEPT);
  };
}

/** `GET /admin/session` */
export function sessionRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const found = await signedIn(sessionText(c, deps.proxies), deps.sessions(), opened(deps.authenticator));
    return c.json(sessionBody(found, deps), 200, UNKEPT);
  };
}

/** `DELETE /admin/session`: also where there is none any more. */
export function endSessionRoute({ proxies }: GatewayDeps) {
  return (c: Context<GatewayEnv>): Response => {
    assertSameOrigin(c);
    deleteCookie(c, SESSION_COOKIE, proxies.origin(c).isSecure ? SECURE_COOKIE : COOKIE);
    return c.body(null, 204);
  };
}

function sessionBody({ session, access }: SignedIn, deps: GatewayDeps): object {
  const { role, principal } = access;
  const backend = deps.backend();
  return {
    role,
    tenant: role === 'operator' ? null : principal.tenant,
    key: principal.key,
    csrf: session.csrf,
    expires_at: session.expiresAt,
    server: {
      version: VERSION,
      checks_keys: deps.checksKeys,
      cache: deps.cacheMode,
      backend: backend.computer,
      log_prompts: deps.logPrompts,
      model: backend.base?.id ?? null,
    },
  };
}
