import type { Backend, BackendModel } from '../backends/backend.ts';
import { ApiError } from '../errors.ts';
import { type JsonObject, missing, quoted, textValue } from '../openai/fields.ts';

/**
 * The model that a request's body names.
 * @throws ApiError engine_unavailable while models are not known yet, model_not_found
 */
export function requestedModel(backend: Backend, body: JsonObject): BackendModel {
  if ((body.model ?? null) === null) throw missing('model');
  const name = textValue(body.model, 'model');
  if (!backend.ready)
    throw new ApiError('engine_unavailable', 'The engine is starting. Please try again soon.');
  const model = backend.find(name);
  if (model === undefined) {
    const message = `The model \`${quoted(name)}\` does not exist or you do not have access to it.`;
    throw new ApiError('model_not_found', message);
  }
  return model;
}
