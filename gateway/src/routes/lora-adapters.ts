import type { Context } from 'hono';
import { loraId } from '../adapters/lora-id.ts';
import { notReady } from '../backends/failure.ts';
import { ApiError } from '../errors.ts';
import { errorResponse, type GatewayEnv } from '../http/context.ts';
import type { GatewayDeps } from './deps.ts';

/**
 * llama-server's `GET /lora-adapters`: those that the key may use. `path` is the name, because files are the server's
 * affair; `scale` is 0, because none is applied where a request does not ask for it.
 */
export function loraAdaptersRoute({ backend }: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    if (!backend().ready) throw notReady(backend());
    const models = await backend().models(c.get('access').principal);
    const adapters = models.filter(({ parent }) => parent !== null);
    return c.json(
      adapters.map(({ id }) => ({ id: loraId(id), path: id, scale: 0, task_name: '', prompt_prefix: '' })),
    );
  };
}

/** llama-server's `POST /lora-adapters`, which sets scales for all requests: here each belongs to a tenant. */
export function setLoraAdaptersRoute() {
  return (): Response => {
    const response = errorResponse(
      new ApiError(
        'method_not_supported',
        "No scale holds for the requests of all tenants. A request says which adapter it is for: by its name in 'model', or by its id in 'lora'.",
      ),
    );
    response.headers.set('allow', 'GET');
    return response;
  };
}
