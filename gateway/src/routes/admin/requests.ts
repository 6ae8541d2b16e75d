import { type Context, Hono } from 'hono';
import type { GatewayEnv } from '../../http/context.ts';
import { choiceValue, invalidValue } from '../../openai/fields.ts';
import { bodyOf, EVENT_STREAM_HEADERS } from '../../openai/sse.ts';
import type { RecentRequests } from '../../requests/recent-requests.ts';
import { FOLLOWED_ROUTES, type RequestRecord, STATES } from '../../requests/request-record.ts';
import { tenantNotFound } from '../../tenants/tenants.ts';
import type { TenantsHost } from '../../tenants/tenants-host.ts';
import { liveFrames } from './live-frames.ts';
import { assertQuery, queryInteger } from './paging.ts';
import { scopeOf } from './tenancy.ts';

const PAGE = { min: 1, max: 1_000 } as const;
const USUAL_PAGE = 50;
const ID = /^r(\d{1,15})$/;

export interface AdminRequestsDeps {
  readonly requests: RecentRequests;
  /** Whether prompts may be read by whoever may see the request. */
  readonly logPrompts: boolean;
  readonly tenants: () => TenantsHost | null;
}

/**
 * `/admin/v1/requests`: all tenants' for an operator, its own for an administrator of a tenant. Of this server, and of requests that
 * compute something (`FOLLOWED_ROUTES`).
 *
 * | | |
 * | --- | --- |
 * | `GET /?limit=&after=&tenant=&model=&state=&route=` | those that run and the last thousand that ended, the newest first |
 * | `GET /live` | an event for each that begins or ends from now on |
 */
export function adminRequests(deps: AdminRequestsDeps): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  app.get('/', (c) => {
    assertQuery(c, ['limit', 'after', 'tenant', 'model', 'state', 'route']);
    const { limit: given, after, model = null, state, route } = c.req.query();
    const limit = given === undefined ? USUAL_PAGE : queryInteger(given, 'limit', PAGE);
    const filter = {
      tenant: tenantOf(c),
      model,
      state: state === undefined ? null : choiceValue(state, 'state', STATES),
      route: route === undefined ? null : choiceValue(route, 'route', [...FOLLOWED_ROUTES.keys()]),
    };
    const before = after === undefined ? null : numberOf(after);
    const found = deps.requests.list(filter, limit + 1, before);
    return c.json({
      object: 'list',
      data: found.slice(0, limit).map((record) => requestBody(record, deps.logPrompts)),
      has_more: found.length > limit,
    });
  });
  app.get('/live', (c) => {
    assertQuery(c, []);
    const write = (record: RequestRecord) =>
      `event: request\ndata: ${JSON.stringify(requestBody(record, deps.logPrompts))}\n\n`;
    const watch = deps.requests.watch(scopeOf(c), write);
    const isStillWelcome = async () => {
      const { principal } = c.get('access');
      const registry = deps.tenants()?.registry;
      if (registry === undefined || principal.key === null) return true;
      return (await registry.stillValid(principal)) !== null;
    };
    const frames = liveFrames(watch, isStillWelcome);
    return c.body(
      bodyOf(frames, () => watch.close()),
      200,
      EVENT_STREAM_HEADERS,
    );
  });
  return app;
}

function requestBody(record: RequestRecord, showsPrompt: boolean): object {
  const { timeline, used } = record;
  const { arrived, endedAt } = timeline;
  return {
    id: `r${record.number}`,
    object: 'request',
    request_id: record.requestId,
    at: record.at,
    state: record.state,
    method: record.method,
    route: record.route,
    status: record.status,
    error_code: record.errorCode,
    tenant: record.tenant,
    key: record.key,
    model: record.model,
    stream: record.stream,
    cache: record.cache,
    choices: record.choices,
    prompt_tokens: used?.promptTokens ?? null,
    completion_tokens: used?.completionTokens ?? null,
    cached_prompt_tokens: used?.cachedPromptTokens ?? null,
    duration_ms: record.state === 'running' || endedAt === null ? null : rounded(endedAt - arrived),
    phases: timeline.phases().map(({ name, from, until }) => ({
      name,
      start_ms: rounded(from - arrived),
      duration_ms: rounded(until - from),
    })),
    trace_id: record.traceId,
    prompt: showsPrompt ? record.prompt : null,
  };
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}

function numberOf(id: string): number {
  const [, number] = ID.exec(id) ?? [];
  if (number === undefined) throw invalidValue('after', 'it is the id of a request in this list.');
  return Number(number);
}

/** @throws ApiError tenant_not_found for another tenant's, to an administrator of one */
function tenantOf(c: Context<GatewayEnv>): string | null {
  const scope = scopeOf(c);
  const given = c.req.query('tenant');
  if (given === undefined) return scope;
  if (scope !== null && given !== scope) throw tenantNotFound(given);
  return given;
}
