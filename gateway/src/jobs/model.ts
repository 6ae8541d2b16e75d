import type { Principal } from '@polylora/adapters-store';
import { loraId } from '../adapters/lora-id.ts';
import type { Backend, BackendModel, WeightedModel } from '../backends/backend.ts';
import { notReady } from '../backends/failure.ts';
import { ApiError } from '../errors.ts';
import { type JsonObject, missing, quoted, unsupported } from '../openai/fields.ts';
import { readLora, type ScaledLora } from '../openai/lora.ts';
import { type NamedWeight, readMixture } from '../openai/mixture.ts';
import { modelNames } from '../openai/model-request.ts';
import { parse } from '../openai/parse.ts';

/** More would make a mixture that costs as much as many requests. */
const MOST_MIXED = 8;

/**
 * The model that a request's body asks for: by `model`; by LoRAX's `adapter_id` beside the base; or by weights, as `adapters` or
 * llama-server's `lora` give them.
 *
 * @throws ApiError engine_unavailable while models are not known yet, model_not_found
 */
export async function requestedModel(
  backend: Backend,
  body: JsonObject,
  principal: Principal,
): Promise<BackendModel> {
  const [named, byId] = [readMixture(body), readLora(body)];
  if (named.length > 0 && byId.length > 0) throw ambiguous('lora', 'adapters');
  const field = named.length > 0 ? 'adapters' : byId.length > 0 ? 'lora' : null;
  const name = modelName(body, field);
  if (!backend.ready) throw notReady(backend);
  const model = name === null ? backend.base : await find(backend, name, principal);
  if (model === null) throw notFound(name ?? 'base');
  if (field === null) return model;
  if (model.parent !== null || model.id !== backend.base?.id) throw ambiguous('model', field);
  const count = named.length + byId.length;
  // Before they are looked for, which costs something for each.
  if (count > MOST_MIXED) {
    const message = `At most ${MOST_MIXED} adapters can be mixed, and '${field}' asks for ${count}.`;
    throw new ApiError('invalid_value', message, field);
  }
  const parts =
    named.length > 0 ? await byName(backend, named, principal) : await byLoraId(backend, byId, principal);
  const [only] = parts;
  return parts.length === 1 && only?.weight === 1 ? only.model : backend.mix(parts);
}

function byName(
  backend: Backend,
  named: readonly NamedWeight[],
  principal: Principal,
): Promise<WeightedModel[]> {
  return Promise.all(
    named.map(async ({ name, weight }) => {
      const model = await find(backend, name, principal);
      if (model.parent !== null) return { model, weight };
      throw new ApiError('invalid_value', 'The base model is in every mixture; name adapters.', 'adapters');
    }),
  );
}

/** What ids of `/lora-adapters` stand for now: nothing, where an adapter may not be used any more. */
async function byLoraId(
  backend: Backend,
  wanted: readonly ScaledLora[],
  principal: Principal,
): Promise<WeightedModel[]> {
  const models = (await backend.models(principal)).filter(({ parent }) => parent !== null);
  return wanted.map(({ id, scale }) => {
    const [model, other] = models.filter((each) => loraId(each.id) === id);
    if (other !== undefined) {
      const message = `The id ${id} stands for several adapters. Name the one you mean in 'adapters' instead.`;
      throw new ApiError('invalid_value', message, 'lora');
    }
    if (model === undefined) {
      const message = `There is no adapter with the id ${id}, or you do not have access to it.`;
      throw new ApiError('model_not_found', message, 'lora');
    }
    return { model, weight: scale };
  });
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

/** Two ways at once to say which adapter it is. */
function ambiguous(param: string, field: string): ApiError {
  const message = `'${field}' says which adapters it is: '${param}' may only name the base model beside it, or nothing.`;
  return new ApiError('invalid_value', message, param);
}

/**
 * The name of what is asked for: an adapter's by LoRAX's `adapter_id`, beside a model that is the base, or `model`.
 * @param field that gives adapters too
 * @returns null for the base, where such a field does and no model is named
 */
function modelName(body: JsonObject, field: string | null): string | null {
  const { model, adapter_id: adapter, adapter_source: source } = parse(modelNames, body);
  if (adapter == null) {
    if (model == null && field === null) throw missing('model');
    return model ?? null;
  }
  if (field !== null) throw ambiguous('adapter_id', field);
  // Others would have the server fetch files at a client's wish.
  if (source != null && source !== 'local') {
    throw unsupported('adapter_source', "other than 'local' is not supported by this server");
  }
  return adapter;
}
