import { ApiError, toApiError } from '../errors.ts';
import type { Backend, BackendEvent } from './backend.ts';

/** What a client is told of a backend's failure. */
export function apiErrorOf(event: Extract<BackendEvent, { type: 'error' }>): ApiError {
  // A fault of ours: the log has the message, the client is told no more than that.
  if (event.code === 'internal_error') return toApiError(new Error(event.message));
  // It names the file: where that is on the server is for the log as well.
  if (event.code === 'adapter_load_failed') {
    const cause = new Error(event.message);
    return new ApiError(event.code, "The adapter's file could not be read.", null, { cause });
  }
  return new ApiError(event.code, event.message, event.param ?? null, {
    retryAfterSeconds: event.retryAfterSeconds,
  });
}

/** What a client is told while a backend cannot take requests. Where the upstream is stays the operator's affair. */
export function notReady({ computer }: Pick<Backend, 'computer'>): ApiError {
  const message =
    computer === 'upstream'
      ? 'The server that computes the answers (the upstream) does not answer. Please try again soon.'
      : 'The engine is starting. Please try again soon.';
  return new ApiError('engine_unavailable', message);
}
