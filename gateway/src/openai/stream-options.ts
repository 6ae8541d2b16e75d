import { z } from 'zod';
import { ApiError } from '../errors.ts';
import { optional } from './schema-parts.ts';

export const streamFields = {
  stream: optional(z.boolean(), 'Send the answer in pieces, as server-sent events.', false),
  stream_options: optional(
    z.object({
      include_usage: optional(z.boolean(), 'A last piece says how many tokens it were.', false),
    }),
    'Only where `stream` is true.',
  ),
};

const streamShape = z.object(streamFields);

/** @throws ApiError where the fields contradict each other */
export function streamOptionsOf({ stream, stream_options: options }: z.output<typeof streamShape>): {
  stream: boolean;
  includeUsage: boolean;
} {
  if (options != null && stream !== true) {
    const message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
    throw new ApiError('invalid_value', message, 'stream_options');
  }
  return { stream: stream ?? false, includeUsage: options?.include_usage ?? false };
}
