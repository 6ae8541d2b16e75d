/** What a browser sends of a session, and whether it is a page of ours that has it sent. */
import { timingSafeEqual } from 'node:crypto';
import type { Context } from 'hono';
import { getCookie } from 'hono/cookie';
import { ApiError } from '../errors.ts';
import type { GatewayEnv } from '../http/context.ts';
import type { Proxies } from '../http/proxies.ts';
import type { Access } from './access.ts';
import type { Authenticator } from './authenticator.ts';
import type { Session, Sessions } from './sessions.ts';

export const SESSION_COOKIE = 'polylora_session';
/** Over https: no other host of the domain, and nobody on plain http, can set one of this name (`__Host-polylora_session`). */
export const SECURE_PREFIX = 'host';
const CSRF_HEADER = 'x-csrf-token';

/** They change nothing. */
const READING: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** Whoever has signed in. */
export interface SignedIn {
  readonly session: Session;
  readonly access: Access;
}

/** A request's session; null where it has none. */
export function sessionText(c: Context<GatewayEnv>, proxies: Proxies): string | null {
  const { isSecure } = proxies.origin(c);
  // Over https the other one may be from anybody.
  return (isSecure ? getCookie(c, SESSION_COOKIE, SECURE_PREFIX) : getCookie(c, SESSION_COOKIE)) ?? null;
}

/**
 * Who has signed in. Their key is looked up each time: what ends it ends the session.
 * @throws ApiError session_required
 */
export async function signedIn(
  text: string | null,
  sessions: Sessions | null,
  authenticator: Authenticator,
): Promise<SignedIn> {
  const session = text === null ? null : ((await sessions?.open(text)) ?? null);
  const access = session === null ? null : await authenticator.resume(session.proof);
  if (session === null || access === null)
    throw new ApiError('session_required', 'There is no session, or not any more. Please sign in.');
  return { session, access };
}

/**
 * Refuses what changes something and was not sent by a page of ours: other sites' pages could have the browser send the cookie, but
 * do not know the token.
 * @throws ApiError csrf_token_required, cross_origin_refused
 */
export function assertOwnPage(c: Context<GatewayEnv>, { csrf }: Session): void {
  if (READING.has(c.req.method)) return;
  assertSameOrigin(c);
  const given = Buffer.from(c.req.header(CSRF_HEADER) ?? '');
  const expected = Buffer.from(csrf);
  if (given.length === expected.length && timingSafeEqual(given, expected)) return;
  throw new ApiError(
    'csrf_token_required',
    `With a session's cookie this needs the session's token: send 'csrf' of GET /admin/session as ${CSRF_HEADER}.`,
    CSRF_HEADER,
  );
}

/** By what browsers say of themselves; who says nothing of the kind is none. @throws ApiError cross_origin_refused */
export function assertSameOrigin(c: Context<GatewayEnv>): void {
  if (isSameOrigin(c)) return;
  throw new ApiError('cross_origin_refused', 'A page of another origin may not do this with a session.');
}

function isSameOrigin(c: Context<GatewayEnv>): boolean {
  // Over https and from this machine. It holds behind a proxy, too, that tells us another host.
  const site = c.req.header('sec-fetch-site');
  if (site !== undefined) return site === 'same-origin' || site === 'none';
  const origin = c.req.header('origin');
  if (origin === undefined) return true;
  return URL.canParse(origin) && new URL(origin).host === new URL(c.req.url).host;
}
