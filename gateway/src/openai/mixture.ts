import { z } from 'zod';
import type { JsonObject } from './fields.ts';
import { parse } from './parse.ts';
import { decimal, list, optional, text } from './schema-parts.ts';

/** An adapter of a mixture, and what its change is multiplied by. */
export interface NamedWeight {
  readonly name: string;
  readonly weight: number;
}

/** More than any mixture has; how many are mixed is looked at with all of a request. */
const MOST_ENTRIES = 256;

const entry = z.strictObject({
  name: text().meta({ description: 'An adapter.' }),
  weight: optional(decimal(-100, 100), 'What its change is multiplied by.', 1),
});

export const mixtureFields = {
  adapters: optional(
    list(entry, 'objects with `name` and `weight`', { min: 1, max: MOST_ENTRIES }),
    'Several adapters, added up.',
  ),
};

const mixtureBody = z.compile(z.object(mixtureFields));

/**
 * The adapters that a request's `adapters` asks for.
 * @throws ApiError for the first field that is wrong
 */
export function readMixture(json: JsonObject): NamedWeight[] {
  const { adapters } = parse(mixtureBody, json);
  return (adapters ?? []).map(({ name, weight }) => ({ name, weight: weight ?? 1 }));
}
