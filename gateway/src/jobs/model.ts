import type { Principal } from '@polylora/adapters-store';
import type { Backend, BackendModel } from '../backends/backend.ts';
import { ApiError } from '../errors.ts';
import { type JsonObject, missing, quoted, textValue } from '../openai/fields.ts';

/**
 * The model that a request's body names.
 * @throws ApiError engine_unavailable while models are not known yet, model_not_found
 */
export async function requestedModel(
  backend: Backend,
  body: JsonObject,
  principal: Principal,
): Promise<BackendModel> {
  if ((body.model ?? null) === null) throw missing('model');
  const name = textValue(body.model, 'model');
  if (!backend.ready)
    throw new ApiError('engine_unavailable', 'The engine is starting. Please try again soon.');
  const model = await backend.find(name, principal);
  if (model === null) {
    const message = `The model \`${quoted(name)}\` does not exist or you do not have access to it.`;
    throw new ApiError('model_not_found', message);
  }
  return model;
}
