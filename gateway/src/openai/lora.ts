import { z } from 'zod';
import type { JsonObject } from './fields.ts';
import { parse } from './parse.ts';
import { decimal, integer, list, optional } from './schema-parts.ts';

/** Ids are those of `/lora-adapters`. */
export const LARGEST_LORA_ID = 2 ** 31 - 1;
/** More than anybody lists by hand; each costs a comparison with every adapter of the key. */
const MOST_ENTRIES = 256;

const entry = z.object({
  id: integer(0, LARGEST_LORA_ID).meta({ description: 'As `/lora-adapters` lists it.' }),
  scale: decimal(-100, 100).meta({ description: 'What its change is multiplied by.' }),
});

/** An adapter by its id of `/lora-adapters`, and what its change is multiplied by. */
export type ScaledLora = Readonly<z.output<typeof entry>>;

export const loraFields = {
  lora: optional(list(entry, 'objects', { max: MOST_ENTRIES }), "llama-server's way to name adapters."),
};

const loraBody = z.compile(z.object(loraFields));

/**
 * The adapters that a request's `lora` asks for: those of scale 0, and those not named, are not applied.
 *
 * @throws ApiError for the first field that is wrong
 */
export function readLora(json: JsonObject): ScaledLora[] {
  const { lora } = parse(loraBody, json);
  return (lora ?? []).filter(({ scale }) => scale !== 0);
}
