import { ERRORS, type ErrorCode } from '../../errors.ts';
import type { BackendEvent } from '../backend.ts';
import type { UpstreamAnswer } from './http.ts';

export type UpstreamFailure = Extract<BackendEvent, { type: 'error' }>;

interface ErrorObject {
  readonly message?: unknown;
  readonly param?: unknown;
  readonly code?: unknown;
}

/** What OpenAI-compatible servers answer a failure with: older ones of vLLM's have no `error` around it. */
interface ErrorBody extends ErrorObject {
  readonly error?: ErrorObject | string;
}

/** Codes that say something of the request, and of nothing that the upstream and this server may have differently. */
const SHARED_CODES: ReadonlySet<string> = new Set([
  'numerical_error',
  'deadline_exceeded',
  'adapter_not_loaded',
  'adapter_load_failed',
  'upstream_answer_too_large',
] satisfies ErrorCode[]);

/** How servers without codes of their own say that a prompt is too long. */
const TOO_LONG =
  /context (length|size|window)|maximum.{0,20}length|too (long|many tokens)|exceeds? .{0,40}context/i;

/** An upstream that is not there, or does not answer as it should. The log has the reason: the client is not told of the upstream. */
export class UpstreamBroken extends Error {
  override readonly name = 'UpstreamBroken';
}

/** An answer that is longer than any may be here. */
export class AnswerTooLarge extends UpstreamBroken {
  constructor(mostBytes: number) {
    super(`the upstream’s answer has more than ${mostBytes} bytes`);
  }
}

export function tooLarge(): UpstreamFailure {
  return failure(
    'upstream_answer_too_large',
    "The server that computes the answers sent more than this server takes of an answer that is not streamed. Ask for less at once, or with 'stream'.",
  );
}

export function unavailable(retryAfterSeconds: number | null = null): UpstreamFailure {
  return failure('engine_unavailable', 'The server that computes the answers is not available.', {
    retryAfterSeconds,
  });
}

/** What an answer that is no success means for the client. */
export function failureOf({ status, headers, body }: UpstreamAnswer<Uint8Array>): UpstreamFailure {
  const { message, code, param } = errorOf(body);
  const retryAfterSeconds = retryAfter(headers);
  if (status === 429) {
    if (code === 'deadline_exceeded') return failure(code, message, { retryAfterSeconds });
    return failure('engine_overloaded', 'The server is overloaded. Please try again later.', {
      retryAfterSeconds,
    });
  }
  if (code !== null && SHARED_CODES.has(code)) return failure(code, message, { retryAfterSeconds });
  if (status === 404)
    return failure('model_not_found', message === '' ? 'The model is not there any more.' : message);
  // The key is this server's and not the client's. What is said of it may repeat it, or parts of it.
  if (status === 401 || status === 403)
    return failure('internal_error', `the upstream refuses the key (${status})`);
  if (status === 400 || status === 413 || status === 422) return mistake(message, code, param);
  return unavailable(retryAfterSeconds);
}

/** What an `error` in the middle of a stream means. */
export function streamFailure(error: unknown): UpstreamFailure {
  const { message, code, param } = parts(error);
  if (code !== null && SHARED_CODES.has(code)) return failure(code, message);
  if (code !== null && ERRORS[code].status < 500 && ERRORS[code].status !== 429)
    return mistake(message, code, param);
  return unavailable();
}

/** A mistake in the client's request. */
function mistake(message: string, code: ErrorCode | null, param: string | null): UpstreamFailure {
  const text = message === '' ? 'The request is not valid.' : message;
  if (code !== null && ERRORS[code].status < 500) return failure(code, text, { param });
  if (TOO_LONG.test(text)) return failure('context_length_exceeded', text);
  return failure('invalid_value', text, { param });
}

function failure(
  code: ErrorCode,
  message: string,
  options: { retryAfterSeconds?: number | null; param?: string | null } = {},
): UpstreamFailure {
  const { retryAfterSeconds = null, param = null } = options;
  return { type: 'error', code, message, retryAfterSeconds, param };
}

function errorOf(body: Uint8Array): ReturnType<typeof parts> {
  try {
    const parsed = JSON.parse(Buffer.from(body).toString()) as ErrorBody | null;
    return parts(parsed?.error ?? parsed);
  } catch {
    return parts(null);
  }
}

function parts(error: unknown): { message: string; code: ErrorCode | null; param: string | null } {
  if (typeof error === 'string') return { message: error, code: null, param: null };
  const { message, code, param } = (typeof error === 'object' ? (error as ErrorObject | null) : null) ?? {};
  return {
    message: typeof message === 'string' ? message : '',
    code: typeof code === 'string' && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : null,
    param: typeof param === 'string' ? param : null,
  };
}

function retryAfter(headers: UpstreamAnswer<unknown>['headers']): number | null {
  const milliseconds = Number(headers['retry-after-ms'] ?? Number.NaN);
  const seconds = Number.isFinite(milliseconds)
    ? milliseconds / 1000
    : Number(headers['retry-after'] ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
}
