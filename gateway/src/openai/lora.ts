import { arrayValue, integerValue, type JsonObject, missing, numberValue, objectValue } from './fields.ts';

/** Ids are those of `/lora-adapters`. */
export const LARGEST_LORA_ID = 2 ** 31 - 1;
/** More than anybody lists by hand; each costs a comparison with every adapter of the key. */
const MOST_ENTRIES = 256;
const SCALES = { min: -100, max: 100 };

/** An adapter by its id of `/lora-adapters`, and what its change is multiplied by. */
export interface ScaledLora {
  readonly id: number;
  readonly scale: number;
}

/**
 * The adapters that a request's `lora` asks for, llama-server's `[{id, scale}]`: those of scale 0, and those not named,
 * are not applied.
 *
 * @throws ApiError for the first field that is wrong
 */
export function readLora(body: JsonObject): ScaledLora[] {
  const value = body.lora ?? null;
  if (value === null) return [];
  const entries = arrayValue(value, 'lora', 'an array of objects', MOST_ENTRIES).map(readEntry);
  return entries.filter(({ scale }) => scale !== 0);
}

function readEntry(item: unknown, index: number): ScaledLora {
  const param = `lora[${index}]`;
  const { id = null, scale = null } = objectValue(item, param);
  if (id === null) throw missing(`${param}.id`);
  if (scale === null) throw missing(`${param}.scale`);
  return {
    id: integerValue(id, `${param}.id`, { min: 0, max: LARGEST_LORA_ID }),
    scale: numberValue(scale, `${param}.scale`, SCALES),
  };
}
