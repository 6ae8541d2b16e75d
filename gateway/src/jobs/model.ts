import type { Principal } from '@polylora/adapters-store';
import type { Backend, BackendModel, WeightedModel } from '../backends/backend.ts';
import { ApiError } from '../errors.ts';
import {
  arrayValue,
  type JsonObject,
  missing,
  nonEmptyArray,
  numberValue,
  objectValue,
  quoted,
  textValue,
  unsupported,
} from '../openai/fields.ts';

/** More would make a mixture that costs as much as many requests. */
const MOST_MIXED = 8;
const LARGEST_WEIGHT = 100;

/**
 * The model that a request's body names: by `model`, by LoRAX's `adapter_id` beside it, or a mixture by `adapters`.
 * @throws ApiError engine_unavailable while models are not known yet, model_not_found
 */
export async function requestedModel(
  backend: Backend,
  body: JsonObject,
  principal: Principal,
): Promise<BackendModel> {
  const mixture = body.adapters ?? null;
  const wanted = mixture === null ? [] : readMixture(mixture);
  const name = modelName(body, wanted.length > 0);
  if (!backend.ready)
    throw new ApiError('engine_unavailable', 'The engine is starting. Please try again soon.');
  const model = name === null ? backend.base : await find(backend, name, principal);
  if (model === null) throw notFound(name ?? 'base');
  if (wanted.length === 0) return model;
  if (model.parent !== null) {
    const message = "'adapters' goes with the base model as `model`; name this adapter in it instead.";
    throw new ApiError('invalid_value', message, 'model');
  }
  const parts: WeightedModel[] = [];
  for (const { name, weight } of wanted) {
    const part = await find(backend, name, principal);
    if (part.parent === null) {
      throw new ApiError('invalid_value', 'The base model is in every mixture; name adapters.', 'adapters');
    }
    parts.push({ model: part, weight });
  }
  const [only] = parts;
  return parts.length === 1 && only?.weight === 1 ? only.model : backend.mix(parts);
}

async function find(backend: Backend, name: string, principal: Principal): Promise<BackendModel> {
  const model = await backend.find(name, principal);
  if (model === null) throw notFound(name);
  return model;
}

function notFound(name: string): ApiError {
  const message = `The model \`${quoted(name)}\` does not exist or you do not have access to it.`;
  return new ApiError('model_not_found', message);
}

function readMixture(value: unknown): { name: string; weight: number }[] {
  nonEmptyArray(value, 'adapters', 'an array of objects with `name` and `weight`', MOST_MIXED);
  return arrayValue(value, 'adapters', 'an array of objects', MOST_MIXED).map((element, index) => {
    const param = `adapters[${index}]`;
    const { name, weight, ...others } = objectValue(element, param);
    const [other] = Object.keys(others);
    if (other !== undefined) throw unsupported(`${param}.${other}`);
    if (name === undefined) throw missing(`${param}.name`);
    const range = { min: -LARGEST_WEIGHT, max: LARGEST_WEIGHT };
    return {
      name: textValue(name, `${param}.name`),
      weight: numberValue(weight ?? 1, `${param}.weight`, range),
    };
  });
}

/**
 * The name of what is asked for: an adapter's by LoRAX's `adapter_id`, beside a model that is the base, or `model`.
 * @returns null for the base, where adapters are mixed and no model is named
 */
function modelName(body: JsonObject, isMixture: boolean): string | null {
  const { model = null, adapter_id: adapter = null, adapter_source: source = null } = body;
  if (isMixture && adapter !== null) throw unsupported('adapter_id', "beside 'adapters' is not supported");
  if (adapter === null) {
    if (model === null && isMixture) return null;
    if (model === null) throw missing('model');
    return textValue(model, 'model');
  }
  // Others would have the server fetch files at a client's wish.
  if (source !== null && source !== 'local') {
    throw unsupported('adapter_source', "other than 'local' is not supported by this server");
  }
  return textValue(adapter, 'adapter_id');
}
