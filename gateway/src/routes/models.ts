import type { Context } from 'hono';
import type { BackendModel } from '../backends/backend.ts';
import { ApiError } from '../errors.ts';
import type { GatewayEnv } from '../http/context.ts';
import { quoted } from '../openai/fields.ts';
import type { GatewayDeps } from './deps.ts';

/** An entry of OpenAI's list, with vLLM's `root`, `parent` and `max_model_len`, and what the model was made for. */
function modelBody({ id, created, root, parent, maxModelLen, task }: BackendModel) {
  return {
    id,
    object: 'model',
    created,
    owned_by: 'polylora',
    root,
    parent,
    max_model_len: maxModelLen,
    task,
  };
}

/** `GET /v1/models` */
export function modelsRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const models = await deps.backend().models(c.get('access').principal);
    return c.json({ object: 'list', data: models.map(modelBody) });
  };
}

/** `GET /v1/models/{id}`, where the id may contain slashes, encoded or not */
export function modelRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const id = c.req.param('id') ?? '';
    const model = await deps.backend().find(id, c.get('access').principal);
    if (model === null) {
      throw new ApiError('model_not_found', `The model '${quoted(id)}' does not exist`, 'model');
    }
    return c.json(modelBody(model));
  };
}
