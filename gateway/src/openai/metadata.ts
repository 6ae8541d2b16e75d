import { ApiError } from '../errors.ts';
import { invalidType, objectValue } from './fields.ts';

const MAX_ENTRIES = 16;
const MAX_KEY_LENGTH = 64;
const MAX_VALUE_LENGTH = 512;

/** What a client attaches to an object for its own use: a few short texts. @throws ApiError */
export function readMetadata(value: unknown): Record<string, string> | null {
  if (value === null) return null;
  const entries = Object.entries(objectValue(value, 'metadata'));
  if (entries.length > MAX_ENTRIES) {
    const message = `Invalid 'metadata': too many properties. Expected at most ${MAX_ENTRIES}, but got ${entries.length} instead.`;
    throw new ApiError('object_above_max_properties', message, 'metadata');
  }
  return Object.fromEntries(entries.map(([key, text]) => [key, readEntry(key, text)]));
}

function readEntry(key: string, text: unknown): string {
  const param = `metadata.${key.slice(0, MAX_KEY_LENGTH)}`;
  if (typeof text !== 'string') throw invalidType(param, 'a string', text);
  if (key.length > MAX_KEY_LENGTH || text.length > MAX_VALUE_LENGTH) {
    const message = `Invalid '${param}': keys have at most ${MAX_KEY_LENGTH} characters and values ${MAX_VALUE_LENGTH}.`;
    throw new ApiError('string_above_max_length', message, param);
  }
  return text;
}
