import type { Principal } from '@polylora/adapters-store';
import type { Backend, BackendModel } from '../backends/backend.ts';
import { ApiError } from '../errors.ts';
import { type JsonObject, missing, quoted, textValue, unsupported } from '../openai/fields.ts';

/**
 * The model that a request's body names.
 * @throws ApiError engine_unavailable while models are not known yet, model_not_found
 */
export async function requestedModel(
  backend: Backend,
  body: JsonObject,
  principal: Principal,
): Promise<BackendModel> {
  const name = modelName(body);
  if (!backend.ready)
    throw new ApiError('engine_unavailable', 'The engine is starting. Please try again soon.');
  const model = await backend.find(name, principal);
  if (model === null) {
    const message = `The model \`${quoted(name)}\` does not exist or you do not have access to it.`;
    throw new ApiError('model_not_found', message);
  }
  return model;
}

/** The name of what is asked for: an adapter's by LoRAX's `adapter_id`, beside a model that is the base, or `model`. */
function modelName(body: JsonObject): string {
  const { model = null, adapter_id: adapter = null, adapter_source: source = null } = body;
  if (adapter === null) {
    if (model === null) throw missing('model');
    return textValue(model, 'model');
  }
  // Others would have the server fetch files at a client's wish.
  if (source !== null && source !== 'local') {
    throw unsupported('adapter_source', "other than 'local' is not supported by this server");
  }
  return textValue(adapter, 'adapter_id');
}
