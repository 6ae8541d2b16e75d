import { ApiError } from '../errors.ts';
import {
  arrayValue,
  integerValue,
  type JsonObject,
  missing,
  numberValue,
  objectValue,
  unsupported,
} from './fields.ts';

/** Ids are those of `/lora-adapters`. */
export const LARGEST_LORA_ID = 2 ** 31 - 1;
/** More than anybody lists by hand; each costs a comparison with every adapter of the key. */
const MOST_ENTRIES = 256;
const SCALES = { min: -1000, max: 1000 };

/**
 * The adapter that a request's `lora` asks for, llama-server's `[{id, scale}]`: those of scale 0, and those not named,
 * are not applied.
 *
 * @returns an id of `/lora-adapters`, or null where none is applied
 * @throws ApiError for the first field that is wrong, unsupported_parameter for another scale or several adapters
 */
export function readLora(body: JsonObject): number | null {
  const value = body.lora ?? null;
  if (value === null) return null;
  const entries = arrayValue(value, 'lora', 'an array of objects', MOST_ENTRIES).map(readEntry);
  const applied = entries.filter(({ scale }) => scale !== 0);
  const [first, second] = applied;
  if (first === undefined) return null;
  if (second !== undefined) throw unsupported('lora', 'with several adapters is not supported');
  if (first.scale !== 1) throw unsupported(`${first.param}.scale`, 'other than 0 or 1 is not supported');
  return first.id;
}

function readEntry(item: unknown, index: number) {
  const param = `lora[${index}]`;
  const { id = null, scale = null } = objectValue(item, param);
  if (id === null) throw missing(`${param}.id`);
  if (scale === null) throw missing(`${param}.scale`);
  return {
    param,
    id: integerValue(id, `${param}.id`, { min: 0, max: LARGEST_LORA_ID }),
    scale: numberValue(scale, `${param}.scale`, SCALES),
  };
}

/** Two ways at once to say which adapter it is. */
export function ambiguousAdapter(param: string): ApiError {
  const message = `'lora' says which adapter it is: '${param}' may only name the base model beside it, or nothing.`;
  return new ApiError('invalid_value', message, param);
}
