import { type Context, Hono } from 'hono';
import type { GatewayEnv } from '../../http/context.ts';
import { choiceValue, invalidValue } from '../../openai/fields.ts';
import type { RecentRequests } from '../../requests/recent-requests.ts';
import { FOLLOWED_ROUTES, type RequestRecord, STATES } from '../../requests/request-record.ts';
import { tenantNotFound } from '../../tenants/tenants.ts';
import { frame, type LiveDeps, type LiveSource, liveAnswer } from './live-frames.ts';
import { assertQuery, queryInteger } from './paging.ts';
import { scopeOf } from './tenancy.ts';

const PAGE = { min: 1, max: 1_000 } as const;
const USUAL_PAGE = 50;
/** Without a request for so long, that nothing has happened is an event as well. */
const QUIET_MILLISECONDS = 1_000;

export interface AdminRequestsDeps extends LiveDeps {
  readonly requests: RecentRequests;
  /** Whether prompts may be read by whoever may see the request. */
  readonly logPrompts: boolean;
}

/**
 * `/admin/v1/requests`: all tenants' for an operator, its own for an administrator of a tenant. Of this server, and of requests that
 * compute something (`FOLLOWED_ROUTES`).
 *
 * | | |
 * | --- | --- |
 * | `GET /?limit=&after=&tenant=&model=&state=&route=` | those that run and the last thousand that ended, the newest first |
 * | `GET /live` | an event for each that begins or ends from now on, and one each second in which none does |
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
    const before = after === undefined ? null : placeOf(deps.requests, after);
    const found = deps.requests.list(filter, limit + 1, before);
    return c.json({
      object: 'list',
      data: found.slice(0, limit).map((record) => requestBody(record, deps.logPrompts)),
      has_more: found.length > limit,
    });
  });
  app.get('/live', (c) => {
    assertQuery(c, []);
    return liveAnswer(c, deps, () => watched(c, deps));
  });
  return app;
}

/** Requests as they begin and end. A comment would do as a sign of life, but that no page is told of one. */
function watched(c: Context<GatewayEnv>, { requests, logPrompts }: AdminRequestsDeps): LiveSource {
  const alive = frame('alive', {});
  const watch = requests.watch(scopeOf(c), {
    write: (record) => frame('request', requestBody(record, logPrompts)),
    onLeftBehind: () => c.env?.outgoing?.destroy(),
  });
  return {
    beginning: alive,
    async next() {
      const events = await watch.next(QUIET_MILLISECONDS);
      return events === '' ? alive : events;
    },
    close: () => watch.close(),
  };
}

function requestBody(record: RequestRecord, showsPrompt: boolean): object {
  const { timeline, used } = record;
  const { arrived, endedAt } = timeline;
  return {
    id: record.id,
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

/** Also a request that was forgotten has its place. @throws ApiError for what another process has told: nothing here comes after it */
function placeOf(requests: RecentRequests, id: string): number {
  const number = requests.numberOf(id);
  if (number !== null) return number;
  const message =
    "it is no request of this server as it runs now: it was started anew, or another one answers. Ask without 'after'.";
  throw invalidValue('after', message);
}

/** @throws ApiError tenant_not_found for another tenant's, to an administrator of one */
function tenantOf(c: Context<GatewayEnv>): string | null {
  const scope = scopeOf(c);
  const given = c.req.query('tenant');
  if (given === undefined) return scope;
  if (scope !== null && given !== scope) throw tenantNotFound(given);
  return given;
}
