import type { Context } from 'hono';
import type { GatewayEnv } from '../http/context.ts';
import type { SteadyClock } from '../steady-clock.ts';
import type { Registry } from '../tenants/registry.ts';
import type { Access } from './access.ts';
import { opened } from './authenticate.ts';
import type { Authenticator } from './authenticator.ts';

/** After which a reader of a stream has to come again, and to say anew who it is. */
const LONGEST_MILLISECONDS = 3_600_000;

/**
 * Whether whoever asked a while ago still may, as what they were then. What is not in the registry holds as long as the server runs.
 * @throws StorageError where nobody can tell
 */
export async function isStillWelcome(
  { principal, role }: Access,
  registry: Registry | undefined,
): Promise<boolean> {
  if (registry === undefined || principal.key === null) return true;
  const access = await registry.stillValid(principal);
  return access?.role === role;
}

/** What finds out whether somebody may go on reading. */
export interface WatchingDeps {
  readonly authenticator: () => Authenticator | null;
  readonly clock: SteadyClock;
}

/**
 * For an administrator's stream without an end: whether its reader may go on reading, as what they were when they came. Asked before
 * whatever is sent, and each second: it is answered from memory. By the text that they came with, and not by their key's id, which would outlive
 * the rotation of a key that somebody else has. No session's stream outlives the session, and none an hour.
 * @returns false also where nobody can tell: they may come again when somebody can
 */
export function welcomeOf(c: Context<GatewayEnv>, deps: WatchingDeps): () => Promise<boolean> {
  const authenticator = opened(deps.authenticator);
  const { role, principal } = c.get('access');
  const session = c.get('session');
  const proof = session?.proof ?? authenticator.proofOf(c.req.header('authorization'));
  const until = performance.now() + LONGEST_MILLISECONDS;
  const sessionUntil = (session?.expiresAt ?? Number.POSITIVE_INFINITY) * 1000;
  return async () => {
    if (proof === null || performance.now() > until || deps.clock.now() >= sessionUntil) return false;
    const access = await authenticator.resume(proof).catch(() => null);
    return access?.role === role && access.principal.key === principal.key;
  };
}
