import type { Principal } from '@polylora/adapters-store';
import { loraId } from '../adapters/lora-id.ts';
import type { Backend, BackendModel } from '../backends/backend.ts';
import { ApiError } from '../errors.ts';
import { type JsonObject, missing, quoted, textValue, unsupported } from '../openai/fields.ts';
import { ambiguousAdapter, readLora } from '../openai/lora.ts';

/**
 * The model that a request's body names.
 * @throws ApiError engine_unavailable while models are not known yet, model_not_found
 */
export async function requestedModel(
  backend: Backend,
  body: JsonObject,
  principal: Principal,
): Promise<BackendModel> {
  const asked = readLora(body) ?? modelName(body);
  if (!backend.ready)
    throw new ApiError('engine_unavailable', 'The engine is starting. Please try again soon.');
  if (typeof asked === 'number') return modelOfLora(backend, body, asked, principal);
  const model = await backend.find(asked, principal);
  if (model === null) {
    const message = `The model \`${quoted(asked)}\` does not exist or you do not have access to it.`;
    throw new ApiError('model_not_found', message);
  }
  return model;
}

/** What an id of `/lora-adapters` stands for now: nothing, where the adapter may not be used any more. */
async function modelOfLora(
  backend: Backend,
  body: JsonObject,
  id: number,
  principal: Principal,
): Promise<BackendModel> {
  if ((body.adapter_id ?? null) !== null) throw ambiguousAdapter('adapter_id');
  const model = body.model ?? null;
  if (model !== null) {
    const named = await backend.find(textValue(model, 'model'), principal);
    if (named === null || named.parent !== null) throw ambiguousAdapter('model');
  }
  const models = await backend.models(principal);
  const [found, other] = models.filter((each) => each.parent !== null && loraId(each.id) === id);
  if (other !== undefined) {
    const message = `The id ${id} stands for several adapters. Name the one you mean in 'model' instead.`;
    throw new ApiError('invalid_value', message, 'lora');
  }
  if (found === undefined) {
    const message = `There is no adapter with the id ${id}, or you do not have access to it.`;
    throw new ApiError('model_not_found', message, 'lora');
  }
  return found;
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
