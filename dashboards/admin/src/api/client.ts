/** The one place that asks the gateway: adds the session's CSRF token, and turns failures into {@link ApiError}. */

/** A failure as the API tells it, or as the connection does (`code` is then `network`). */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** Stable; docs/errors.md lists them. */
  readonly code: string;
  /** The field at fault. */
  readonly param: string | null;
  readonly headers: Headers;

  constructor(
    message: string,
    { status = 0, code = 'network', param = null as string | null, headers = new Headers() } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
    this.headers = headers;
  }
}

export interface AskOptions {
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
}

const READING = new Set(['GET', 'HEAD']);
/** The session is over, its key does not hold any more, or the cookie is gone: another tab has signed out. */
const UNAUTHORIZED = 401;

let csrf: string | null = null;
let sessionEnded: () => void = () => {};

/** @param onEnd is called when the server no longer knows the session */
export function holdSession(token: string | null, onEnd: () => void): void {
  csrf = token;
  sessionEnded = onEnd;
}

/** Sends a request as it is, and gives the answer with its status looked at. @throws ApiError */
export async function request(method: string, path: string, options: AskOptions = {}): Promise<Response> {
  const { body, signal, headers } = options;
  const isRaw = body === undefined || body instanceof Blob;
  const init: RequestInit = {
    method,
    credentials: 'same-origin',
    headers: {
      ...(isRaw ? {} : { 'content-type': 'application/json' }),
      ...(csrf !== null && !READING.has(method) ? { 'x-csrf-token': csrf } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  };
  const response = await fetch(path, init).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError('The server cannot be reached. Is it running, and is this machine connected to it?');
  });
  if (response.ok) return response;
  const failure = await failureOf(response);
  if (failure.status === UNAUTHORIZED && csrf !== null) {
    sessionEnded();
    throw new ApiError('Your session has ended.', { status: UNAUTHORIZED, code: 'session_required' });
  }
  throw failure;
}

/** Asks for JSON. @throws ApiError */
export async function ask<T>(method: string, path: string, options?: AskOptions): Promise<T> {
  const response = await request(method, path, options);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** A path with a query of what is neither empty nor null. */
export function withQuery(
  path: string,
  query: Readonly<Record<string, string | number | boolean | null | undefined>>,
): string {
  const given = Object.entries(query).filter(([, value]) => value != null && value !== '');
  if (given.length === 0) return path;
  return `${path}?${new URLSearchParams(given.map(([name, value]) => [name, `${value}`]))}`;
}

/** A path of which each part may hold any character, slashes too. */
export function pathOf(...parts: readonly string[]): string {
  return parts.map((part, index) => (index === 0 ? part : `/${encodeURIComponent(part)}`)).join('');
}

async function failureOf(response: Response): Promise<ApiError> {
  const { status, headers } = response;
  const { error } = (await response.json().catch(() => ({}))) as {
    error?: { message?: string; code?: string | number | null; param?: string | null };
  };
  const message = error?.message ?? `The server answered with status ${status}.`;
  return new ApiError(message, {
    status,
    code: `${error?.code ?? status}`,
    param: error?.param ?? null,
    headers,
  });
}
