import { audit, inTurn } from '@polylora/adapters-store';
import { Hono } from 'hono';
import { operatorsOnly } from '../../access/authenticate.ts';
import { ApiError } from '../../errors.ts';
import type { GatewayEnv } from '../../http/context.ts';
import type { GatewayDeps } from '../deps.ts';
import { actorOf } from './actor.ts';
import { opened } from './asked.ts';
import { assertQuery } from './paging.ts';
import { actorName } from './tenancy.ts';

/**
 * `PUT /admin/v1/adapters/{name}/pin`, `DELETE`: an operator's. Keeps what the name stands for now in this server's memory until the
 * server stops, or lets it leave again when pages are needed. (`/pins/{digest}` is about the store.)
 */
export function adapterResidence({
  backend,
  database,
  clock,
}: Pick<GatewayDeps, 'backend' | 'database' | 'clock'>): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  app.use('/:name/pin', operatorsOnly());
  for (const method of ['PUT', 'DELETE'] as const) {
    app.on(method, '/:name/pin', async (c) => {
      assertQuery(c, ['tenant']);
      const name = c.req.param('name') ?? '';
      const pinned = method === 'PUT';
      const adapter = await backend().find(name, actorOf(c));
      if (adapter === null || adapter.parent === null) {
        throw new ApiError('adapter_not_found', `There is no adapter '${name.slice(0, 256)}'.`, 'name');
      }
      await backend().pin(adapter, pinned);
      const { root: digest } = adapter;
      await inTurn(opened(database()), (transaction) =>
        audit(transaction, {
          at: clock.now(),
          actor: actorName(c),
          action: pinned ? 'adapter.hold' : 'adapter.let_go',
          subject: `adapter:${name}`,
          details: { digest },
        }),
      );
      return c.json({ name, digest, pinned });
    });
  }
  return app;
}
