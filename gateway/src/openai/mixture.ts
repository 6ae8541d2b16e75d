import {
  type JsonObject,
  missing,
  nonEmptyArray,
  numberValue,
  objectValue,
  textValue,
  unsupported,
} from './fields.ts';

/** An adapter of a mixture, and what its change is multiplied by. */
export interface NamedWeight {
  readonly name: string;
  readonly weight: number;
}

/** More than any mixture has; how many are mixed is looked at with all of a request. */
const MOST_ENTRIES = 256;
const WEIGHTS = { min: -100, max: 100 };

/**
 * The adapters that a request's `adapters` asks for, `[{name, weight}]`; a weight that is left out is 1.
 * @throws ApiError for the first field that is wrong
 */
export function readMixture(body: JsonObject): NamedWeight[] {
  const value = body.adapters ?? null;
  if (value === null) return [];
  const entries = nonEmptyArray(
    value,
    'adapters',
    'an array of objects with `name` and `weight`',
    MOST_ENTRIES,
  );
  return entries.map((element, index) => {
    const param = `adapters[${index}]`;
    const { name = null, weight = null, ...others } = objectValue(element, param);
    const [other] = Object.keys(others);
    if (other !== undefined) throw unsupported(`${param}.${other}`);
    if (name === null) throw missing(`${param}.name`);
    return {
      name: textValue(name, `${param}.name`),
      weight: numberValue(weight ?? 1, `${param}.weight`, WEIGHTS),
    };
  });
}
