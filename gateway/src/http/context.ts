import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import { matchedRoutes } from 'hono/route';
import type { Access } from '../access/access.ts';
import type { Session } from '../access/sessions.ts';
import type { AnswerOrigin } from '../cache/cached-generation.ts';
import { ApiError, toApiError } from '../errors.ts';
import type { LiveMeter } from '../live/live-meter.ts';
import type { Logger } from '../logging.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { RecentRequests } from '../requests/recent-requests.ts';
import { FOLLOWED_ROUTES, type RequestRecord } from '../requests/request-record.ts';
import type { SteadyClock } from '../steady-clock.ts';
import type { Tracing } from '../tracing/tracing.ts';
import { afterwards } from './afterwards.ts';

/** What the routes leave for the access log. Nothing in it comes from the client unchecked. */
export interface RequestLog {
  tenant?: string;
  key?: string;
  model?: string;
  stream?: boolean;
  choices?: number;
  /** What the answer cache did. */
  cache?: AnswerOrigin;
  /** Only where the operator has asked for them. */
  prompts?: readonly unknown[];
  usage?: { readonly prompt_tokens: number; readonly completion_tokens: number };
  /** A hash of the user that the client names. */
  user?: string;
  /** Where its trace is sampled. */
  trace_id?: string;
}

/** Hono's types for the values that a request carries. */
export interface GatewayEnv {
  /** Node's own objects, where the app is served by Node's server and not called by itself. */
  Bindings: { incoming?: IncomingMessage; outgoing?: ServerResponse };
  Variables: {
    requestId: string;
    /** When the request came, on the steady clock. */
    started: number;
    /** What the answer's head says beside its own headers; null once it is in an answer. */
    headers: Record<string, string> | null;
    log: RequestLog;
    access: Access;
    /** What it came with in the place of a key: it is an administrator's then. */
    session?: Session;
    /** Tells when what was used is known, which a stream does in the end. */
    ending?: Ending;
    /** Of a request that computes something. */
    record?: RequestRecord;
    /** Tells when the last of a stream is out, or its client has left. */
    streaming?: Ending;
  };
}

/** Something that ends once, and one who waits for it. */
export class Ending {
  #hasEnded = false;
  #listener = () => {};

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#listener();
  }

  /** @param listener told at once, where it has ended */
  onEnd(listener: () => void): void {
    if (this.#hasEnded) listener();
    else this.#listener = listener;
  }
}

const OPENAI_VERSION = '2020-10-01';

/** Routes that machines ask every few seconds, or by the dozen: told of only where every detail is wanted. */
const QUIET: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics', '/admin/assets/:file']);

/** Ids from clients and proxies that are safe to log and to send back. */
const SANE_ID = /^[\w.:-]{1,128}$/;

export interface ContextDeps {
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly live: { readonly meter: LiveMeter };
  readonly requests: RecentRequests;
  /** null: nobody traces. */
  readonly tracing: Tracing | null;
  readonly clock: SteadyClock;
}

/** Gives each request an id, each response OpenAI's headers, and writes a log line and a count for it; follows those that compute something. */
export function requestContext(deps: ContextDeps) {
  const { logger, metrics, live, requests } = deps;
  return createMiddleware<GatewayEnv>(async (c, next) => {
    const started = performance.now();
    const given = c.req.header('x-request-id');
    const requestId =
      given !== undefined && SANE_ID.test(given) ? given : `req_${randomUUID().replaceAll('-', '')}`;
    c.set('requestId', requestId);
    c.set('started', started);
    c.set('headers', { 'x-request-id': requestId, 'openai-version': OPENAI_VERSION });
    c.set('log', {});
    const record = followed(c, deps);
    await next();
    setHeaders(c, headersOf(c));

    const { status } = c.res;
    const route = routePattern(matchedRoutes(c));
    const { method } = c.req;
    const code = c.error === undefined ? null : toApiError(c.error).code;
    const { tenant = null } = c.get('log');
    const seconds = (performance.now() - started) / 1000;
    metrics.countHttp({ route, method, status, seconds, tenant, code });
    if (record !== null) live.meter.answered(tenant, status, c.get('log').cache?.result ?? null);
    const tell = (ended: number) => {
      const line = {
        requestId,
        method,
        route,
        status,
        milliseconds: Math.round(ended - started),
        ...c.get('log'),
        ...cause(c.error),
      };
      if (status >= 500 && c.error !== undefined) logger.error(line, 'request failed');
      else if (QUIET.has(route)) logger.debug(line, 'request');
      else logger.info(line, 'request');
    };
    const endAfterwards = (ended: RequestRecord) => {
      // By now, and not when there is time for it.
      ended.timeline.end();
      afterwards(() => requests.end(ended));
    };
    const tellAfterwards = () => {
      const ended = performance.now();
      afterwards(() => tell(ended));
      if (record === null) return;
      record.status = status;
      if (c.error !== undefined) record.fail(toApiError(c.error).code);
      const streaming = c.get('streaming');
      if (streaming === undefined) endAfterwards(record);
      else streaming.onEnd(() => endAfterwards(record));
    };
    const ending = c.get('ending');
    if (ending === undefined) tellAfterwards();
    else ending.onEnd(tellAfterwards);
  });
}

/** Begins to follow a request, where it computes something. */
function followed(c: Context<GatewayEnv>, { requests, tracing, clock }: ContextDeps): RequestRecord | null {
  const { method, path } = c.req;
  if (method !== 'POST' || !FOLLOWED_ROUTES.has(path)) return null;
  const [requestId, arrived] = [c.get('requestId'), c.get('started')];
  const record = requests.arrive({ requestId, at: clock.now(), arrived, method, route: path });
  c.set('record', record);
  if (tracing !== null) {
    const client = { traceparent: c.req.header('traceparent'), tracestate: c.req.header('tracestate') };
    const trace = tracing.begin(record, client);
    record.trace = trace;
    if (trace.isSampled) {
      record.traceId = trace.traceId;
      c.get('log').trace_id = trace.traceId;
    }
  }
  return record;
}

/** Adds to what the answer's head will say, whatever it is made by. */
export function addHeaders(c: Context<GatewayEnv>, headers: Readonly<Record<string, string>>): void {
  const there = c.get('headers');
  if (there === null) c.set('headers', { ...headers });
  else Object.assign(there, headers);
}

/** An answer in JSON that is made with its whole head at once, which takes much less than setting headers one by one. */
export function jsonAnswer(c: Context<GatewayEnv>, body: object): Response {
  return new Response(JSON.stringify(body), {
    headers: { 'content-type': 'application/json', ...headersOf(c) },
  });
}

/** What the head has yet to say; then there is no more. */
function headersOf(c: Context<GatewayEnv>): Record<string, string> {
  const headers = c.get('headers');
  if (headers === null) return {};
  c.set('headers', null);
  headers['openai-processing-ms'] = String(Math.round(performance.now() - c.get('started')));
  return headers;
}

/**
 * Sets headers of an answer that is made already. Straight at Node's object where there is one: to change the response would make
 * it, and its body, anew.
 */
function setHeaders(c: Context<GatewayEnv>, headers: Readonly<Record<string, string>>): void {
  const { outgoing } = c.env ?? {};
  for (const name in headers) {
    const value = headers[name] ?? '';
    if (outgoing === undefined) c.header(name, value);
    else outgoing.setHeader(name, value);
  }
}

/** The pattern of the route that answered: the last that is not for all paths. */
function routePattern(routes: readonly { readonly path: string }[]): string {
  const { path = 'unmatched' } = routes.findLast(({ path }) => !path.endsWith('*')) ?? {};
  return path.startsWith('/admin/') ? path.replace(/\{[^}]*\}$/, '') : path;
}

/** Of a client's mistake the code alone is logged: its message may quote the request. */
function cause(thrown: unknown): object {
  if (thrown === undefined) return {};
  const error = toApiError(thrown);
  if (error.status < 500) return { code: error.code };
  return { code: error.code, err: error.cause ?? (thrown instanceof ApiError ? thrown : error) };
}

/** The response for an error, in OpenAI's form. */
export function errorResponse(thrown: unknown): Response {
  const error = toApiError(thrown);
  const headers = { 'content-type': 'application/json', ...error.headers() };
  return new Response(JSON.stringify(error.body()), { status: error.status, headers });
}
