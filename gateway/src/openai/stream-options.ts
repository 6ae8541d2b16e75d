import { ApiError } from '../errors.ts';
import { booleanField, type JsonObject, objectValue } from './fields.ts';

/** @throws ApiError where the fields are wrong or contradict each other */
export function readStreamOptions(body: JsonObject): { stream: boolean; includeUsage: boolean } {
  const stream = booleanField(body, 'stream');
  const options = body.stream_options ?? null;
  if (options === null) return { stream, includeUsage: false };
  if (!stream) {
    const message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
    throw new ApiError('invalid_value', message, 'stream_options');
  }
  return { stream, includeUsage: booleanField(objectValue(options, 'stream_options'), 'include_usage') };
}
