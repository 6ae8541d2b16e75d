import { Hono } from 'hono';
import type { GatewayEnv } from '../../http/context.ts';
import { frame, type LiveDeps, liveAnswer } from './live-frames.ts';
import { assertQuery } from './paging.ts';
import { scopeOf } from './tenancy.ts';

/**
 * `GET /admin/v1/live`: a stream of events. First `history`, `{"data": [...]}` with a snapshot of each of the last seconds, then
 * a `snapshot` each second: of the whole server for an operator, of its own requests for a tenant's administrator.
 *
 * Who reads slowly misses snapshots, and who takes none for half a minute is cut off.
 */
export function adminLive(deps: LiveDeps): Hono<GatewayEnv> {
  const { sampler } = deps.live;
  const app = new Hono<GatewayEnv>();
  app.get('/', (c) => {
    assertQuery(c, []);
    sampler.assertOpen();
    return liveAnswer(c, deps, () => {
      const { history, view } = sampler.open(scopeOf(c), () => c.env?.outgoing?.destroy());
      return {
        beginning: frame('history', { data: history }),
        async next() {
          const snapshot = await view.next();
          return snapshot === null ? null : frame('snapshot', snapshot);
        },
        close: () => view.end(),
      };
    });
  });
  return app;
}
