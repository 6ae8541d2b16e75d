import { z } from 'zod';
import { loraFields } from './lora.ts';
import { mixtureFields } from './mixture.ts';
import { optional, text } from './schema-parts.ts';

const nameFields = {
  model: optional(text(), 'The base model or an adapter. May be left out beside `adapters` and `lora`.'),
  adapter_id: optional(text(), "LoRAX's way to name an adapter, beside a `model` that is the base."),
  adapter_source: optional(z.string(), 'LoRAX\'s: none other than "local".'),
};

/** The names in a request of what is to answer it. */
export const modelNames = z.compile(z.object(nameFields));

/** What says which model is to answer. */
export const modelFields = { ...nameFields, ...mixtureFields, ...loraFields };
