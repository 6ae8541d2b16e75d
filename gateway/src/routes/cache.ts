import type { Context } from 'hono';
import { ApiError } from '../errors.ts';
import type { GatewayEnv } from '../http/context.ts';
import { entryNotFound, ofStore, openedCache } from './admin/opened-cache.ts';
import type { GatewayDeps } from './deps.ts';
import { reserveFor } from './reserve.ts';

const NO_TOKENS = { promptTokens: 0, cachedPromptTokens: 0, completionTokens: 0 };

/** `POST /v1/cache/entries/{id}/report`: an answer of the cache, which its head names, was wrong. Counts as a request. */
export function reportAnswerRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const host = openedCache(deps);
    const { base } = deps.backend();
    if (base === null) throw new ApiError('engine_unavailable', 'The engine is not ready yet.');
    const asked = { model: base, promptTokens: 0, completionTokens: 0, counting: null };
    const reservation = await reserveFor(c, deps)(asked);
    try {
      const id = c.req.param('id') ?? '';
      const isThere = await ofStore(() => host.report(id, c.get('access').principal.tenant));
      if (!isThere) throw entryNotFound(id);
      return c.json({ id, object: 'cache.report', reported: true });
    } finally {
      reservation.settle(NO_TOKENS);
    }
  };
}
