import type { MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';

/** What pages may read of an answer beside what browsers always let them. */
const EXPOSED = [
  'openai-processing-ms',
  'retry-after',
  'retry-after-ms',
  'upload-offset',
  'x-polylora-cache',
  'x-request-id',
  'x-should-retry',
  ...['limit', 'remaining', 'reset'].flatMap((what) => [
    `x-ratelimit-${what}-requests`,
    `x-ratelimit-${what}-tokens`,
  ]),
];
const REMEMBERED_SECONDS = 600;

/**
 * Lets pages of these origins ask from a browser; those of others are told nothing, and their browsers keep the answer from
 * them. Comes before keys are asked for: a browser asks first whether it may send one.
 */
export function crossOrigin(origins: readonly string[]): MiddlewareHandler {
  return cors({ origin: [...origins], exposeHeaders: EXPOSED, maxAge: REMEMBERED_SECONDS });
}
