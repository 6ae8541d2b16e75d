import { Hono } from 'hono';
import type { GatewayEnv } from '../../http/context.ts';
import type { GatewayDeps } from '../deps.ts';
import { assertQuery } from './paging.ts';

/** `GET /admin/v1/backends`: an operator's. All that answers come from, and how each of them is. */
export function adminBackends({
  backend,
  inFlight,
}: Pick<GatewayDeps, 'backend' | 'inFlight'>): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  app.get('/', async (c) => {
    assertQuery(c, []);
    const { computers, ready } = backend();
    // Of one that does not answer, what is known without it is told.
    const stats = ready
      ? await backend()
          .stats()
          .catch(() => null)
      : null;
    const data = computers.map(({ lastError, id, kind, ...rest }) => ({
      id,
      kind,
      ...rest,
      threads: stats?.threads ?? null,
      simd: stats?.simd ?? null,
      running: stats?.running ?? (kind === 'upstream' ? inFlight.sequences : 0),
      waiting: stats?.waiting ?? 0,
      last_error: lastError,
    }));
    return c.json({ object: 'list', data, has_more: false });
  });
  return app;
}
