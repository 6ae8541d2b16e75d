import { describe, expect, it } from 'vitest';
import { OpenAuthenticator } from './access/authenticator.ts';
import { createApp } from './app.ts';
import { StartingBackend } from './backends/starting.ts';
import { Dashboard } from './dashboard/dashboard.ts';
import { ApiError } from './errors.ts';
import { Proxies } from './http/proxies.ts';
import { InFlight } from './in-flight.ts';
import { LiveMeter } from './live/live-meter.ts';
import { LiveRoom } from './live/live-room.ts';
import { LiveSampler } from './live/live-sampler.ts';
import { createLogger } from './logging.ts';
import { Metrics } from './metrics/metrics.ts';
import { operationsOf } from './openapi/document.ts';
import { OPERATIONS } from './openapi/operations.ts';
import { RecentRequests } from './requests/recent-requests.ts';
import type { GatewayDeps } from './routes/deps.ts';
import { SteadyClock } from './steady-clock.ts';

/** A gateway whose engine has not started yet. */
function startingGateway(
  runtimeLora: GatewayDeps['runtimeLora'] = null,
  computer: 'engine' | 'upstream' = 'engine',
) {
  const backend = new StartingBackend(computer);
  const authenticator = new OpenAuthenticator(null);
  const inFlight = new InFlight({ running: 4, queued: 0 });
  const [meter, clock] = [new LiveMeter(), new SteadyClock()];
  const app = createApp({
    backend: () => backend,
    inFlight,
    live: {
      meter,
      sampler: new LiveSampler({ backend: () => backend, inFlight, meter, clock }),
      room: new LiveRoom(),
    },
    metrics: new Metrics(),
    requests: new RecentRequests(),
    tracing: null,
    logger: createLogger('silent'),
    requestBodyLimitBytes: 1000,
    allowPriority: false,
    responses: () => null,
    cache: () => null,
    cacheMode: 'off',
    clock,
    batches: () => null,
    fileLimitBytes: 1000,
    fileStorageLimitBytes: 1000,
    authenticator: () => authenticator,
    sessions: () => null,
    proxies: new Proxies([]),
    dashboard: new Dashboard('/nonexistent'),
    tenants: () => null,
    database: () => null,
    checksKeys: false,
    corsOrigins: [],
    logPrompts: false,
    openMetrics: true,
    adminAdapters: {
      store: () => null,
      uploads: () => null,
      staging: '/nonexistent',
      limits: { maxBytes: 1000, maxRank: 8 },
    },
    imports: () => null,
    secrets: () => null,
    runtimeLora,
  });
  const post = (path: string, body: string, headers: Record<string, string> = {}) =>
    app.request(path, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
  return { app, inFlight, post };
}

describe('the app', () => {
  it('answers health and readiness while the engine starts', async () => {
    const { app } = startingGateway();
    expect((await app.request('/healthz')).status).toBe(200);
    const ready = await app.request('/readyz');
    expect([ready.status, await ready.json()]).toEqual([503, { status: 'starting' }]);
  });

  it.each([
    ['engine', { status: 'starting' }, /^The engine is starting/],
    ['upstream', { status: 'waiting', upstream: 'away' }, /the upstream\) does not answer/],
  ] as const)('says who is waited for: the %s', async (computer, status, message) => {
    const { app, post } = startingGateway(null, computer);
    const ready = await app.request('/readyz');
    expect([ready.status, await ready.json()]).toEqual([503, status]);
    for (const answer of [
      await app.request('/v1/models'),
      await app.request('/v1/models/base'),
      await app.request('/lora-adapters'),
      await post('/v1/chat/completions', '{"model":"base","messages":[]}'),
    ]) {
      expect(answer.status).toBe(503);
      expect(answer.headers.get('retry-after')).toBe('1');
      expect(await answer.json()).toMatchObject({
        error: { code: 'engine_unavailable', message: expect.stringMatching(message) },
      });
    }
  });

  it('fails readiness once it is told to stop', async () => {
    const { app, inFlight } = startingGateway();
    await inFlight.drain(0);
    expect(await (await app.request('/readyz')).json()).toEqual({ status: 'stopping' });
  });

  it('asks clients to come back while the engine starts', async () => {
    const { post } = startingGateway();
    const response = await post('/v1/chat/completions', '{"model":"base","messages":[]}');
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(response.headers.get('x-should-retry')).toBe('true');
    expect(await response.json()).toMatchObject({
      error: { type: 'server_error', code: 'engine_unavailable' },
    });
  });

  it.each([
    ['GET', '/nope', 404, 'unknown_url'],
    ['POST', '/v1/chat/completions/', 404, 'unknown_url'],
    ['POST', '//v1/chat/completions', 404, 'unknown_url'],
    ['POST', '/V1/chat/completions', 404, 'unknown_url'],
    ['GET', '/v1/chat/completions', 405, 'method_not_supported'],
    ['DELETE', '/v1/models/base', 405, 'method_not_supported'],
    ['GET', '/v1/models/none%2Fat%20all', 503, 'engine_unavailable'],
  ])("refuses %s %s in OpenAI's form", async (method, path, status, code) => {
    const response = await startingGateway().app.request(path, { method });
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({
      error: {
        message: expect.any(String),
        type: status === 503 ? 'server_error' : 'invalid_request_error',
        param: null,
        code,
      },
    });
  });

  it('says which method a route has', async () => {
    const response = await startingGateway().app.request('/v1/completions', { method: 'PUT' });
    expect(response.headers.get('allow')).toBe('POST');
  });

  it('refuses large bodies, no model and models that are not text', async () => {
    const { post } = startingGateway();
    const bodies = [`"${'x'.repeat(2000)}"`, '{}', '{"model":5}', '{"model":""}'];
    const answers = await Promise.all(
      bodies.map(async (body) => {
        const response = await post('/v1/completions', body);
        const { error } = (await response.json()) as { error: { code: string } };
        return [response.status, error.code];
      }),
    );
    expect(answers).toEqual([
      [413, 'request_too_large'],
      [400, 'missing_required_parameter'],
      [400, 'invalid_type'],
      [400, 'empty_string'],
    ]);
  });

  it('has no dashboard where the admin API is off, and cookies of other servers make no difference', async () => {
    const { app, post } = startingGateway();
    const refused = await post('/admin/session', '{"key":"a key of some kind"}');
    expect([refused.status, await refused.json()]).toMatchObject([
      403,
      { error: { code: 'admin_disabled' } },
    ]);
    for (const [path, status] of [
      ['/v1/models', 503],
      ['/admin/v1/keys', 403],
      ['/admin/session', 401],
    ] as const)
      expect((await app.request(path, { headers: { cookie: 'polylora_session=x' } })).status).toBe(status);
  });

  it("puts OpenAI's headers on every response, with the client's request id where it is sane", async () => {
    const { app } = startingGateway();
    const own = await app.request('/nope');
    expect(own.headers.get('x-request-id')).toMatch(/^req_[0-9a-f]{32}$/);
    expect(own.headers.get('openai-version')).toBe('2020-10-01');
    expect(own.headers.get('openai-processing-ms')).toMatch(/^\d+$/);
    const given = await app.request('/healthz', { headers: { 'x-request-id': 'trace-1:2.3' } });
    expect(given.headers.get('x-request-id')).toBe('trace-1:2.3');
    const odd = await app.request('/healthz', { headers: { 'x-request-id': 'a b"c' } });
    expect(odd.headers.get('x-request-id')).toMatch(/^req_/);
  });

  it('counts requests by route pattern, whatever the path', async () => {
    const { app } = startingGateway();
    for (const path of ['/a', '/b', '/v1/models/x', '/v1/models/y']) await app.request(path);
    await app.request('/healthz', { method: 'BREW' });
    const text = await (await app.request('/metrics')).text();
    const isCounted = (line: string) =>
      line.startsWith('polylora_http_requests_total') && !line.endsWith(' 0');
    const lines = text.split('\n').filter(isCounted);
    expect(lines).toEqual([
      'polylora_http_requests_total{route="unmatched",method="GET",status="404"} 2',
      'polylora_http_requests_total{route="/v1/models/:id{.+}",method="GET",status="503"} 2',
      'polylora_http_requests_total{route="/healthz",method="other",status="405"} 1',
    ]);
    expect(text).toContain('polylora_engine_ready 0');
  });

  it('tells clients what not to try again, also where they would by themselves', async () => {
    const { app } = startingGateway();
    expect((await app.request('/nowhere')).headers.get('x-should-retry')).toBe('false');
    const conflict = new ApiError('file_in_use', 'A batch reads it.');
    expect([conflict.status, conflict.headers()]).toEqual([409, { 'x-should-retry': 'false' }]);
  });

  it('tells of each of its routes in its document', async () => {
    const { app } = startingGateway({
      backend: () => new StartingBackend(),
      store: () => null,
      root: '/nonexistent',
      limits: { maxBytes: 1000, maxRank: 8 },
    });
    const untold = operationsOf(app.routes).filter((operation) => OPERATIONS[operation] === undefined);
    expect(untold, 'routes to be added to openapi/operations.ts').toEqual([]);
    const document = (await (await app.request('/openapi.json')).json()) as { paths: Record<string, object> };
    expect(document.paths['/v1/models/{id}']).toHaveProperty('get');
  });
});
