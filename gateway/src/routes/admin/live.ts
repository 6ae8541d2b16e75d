import type { Context } from 'hono';
import { Hono } from 'hono';
import type { GatewayEnv } from '../../http/context.ts';
import { bodyOf, EVENT_STREAM_HEADERS } from '../../openai/sse.ts';
import type { GatewayDeps } from '../deps.ts';
import { assertQuery } from './paging.ts';
import { scopeOf } from './tenancy.ts';

/** After which a reader has to come again, and to say anew who it is. */
const LONGEST_MILLISECONDS = 3_600_000;
/** After which a reader that was cut off comes again. */
const RETRY_MILLISECONDS = 2_000;

type LiveDeps = Pick<GatewayDeps, 'live' | 'tenants'>;

/**
 * `GET /admin/v1/live`: a stream of events. First `history`, `{"data": [...]}` with a snapshot of each of the last seconds, then
 * a `snapshot` each second: of the whole server for an operator, of its own requests for a tenant's administrator.
 *
 * Who reads slowly misses snapshots, and who takes none for half a minute is cut off. The stream ends when the key that it was
 * asked for with does not hold any more, after an hour, and when the server stops.
 */
export function adminLive(deps: LiveDeps): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  app.get('/', (c) => {
    assertQuery(c, []);
    deps.live.sampler.assertRoom();
    const leaving = new AbortController();
    const frames = framesOf(c, deps, leaving.signal);
    return c.body(
      bodyOf(frames, () => leaving.abort()),
      200,
      EVENT_STREAM_HEADERS,
    );
  });
  return app;
}

/** Looks only once it is read: nobody does so for an answer to HEAD. */
async function* framesOf(
  c: Context<GatewayEnv>,
  deps: LiveDeps,
  leaving: AbortSignal,
): AsyncGenerator<string> {
  const until = performance.now() + LONGEST_MILLISECONDS;
  const { history, view } = deps.live.sampler.open(scopeOf(c), () => c.env?.outgoing?.destroy());
  const onLeave = () => view.end();
  leaving.addEventListener('abort', onLeave, { once: true });
  try {
    yield `retry: ${RETRY_MILLISECONDS}\n${frame('history', { data: history })}`;
    for (;;) {
      const snapshot = await view.next();
      if (snapshot === null || performance.now() > until || !(await isStillWelcome(c, deps))) return;
      yield frame('snapshot', snapshot);
    }
  } finally {
    leaving.removeEventListener('abort', onLeave);
    view.end();
  }
}

/** Whether whoever asked still may. Where nobody can tell, it may not. */
async function isStillWelcome(c: Context<GatewayEnv>, { tenants }: LiveDeps): Promise<boolean> {
  const { principal, role } = c.get('access');
  const registry = tenants()?.registry;
  if (registry === undefined || principal.key === null) return true;
  const access = await registry.stillValid(principal).catch(() => null);
  return access?.role === role;
}

function frame(event: string, data: object): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
