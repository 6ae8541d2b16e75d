/** Traces and metrics of real gateways on a real engine, as a collector gets them. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CollectedSpan, type Collector, startCollector } from '../support/collector.ts';
import { FIXTURES } from '../support/engine.ts';
import { administer, type Gateway, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const TINY = join(FIXTURES, 'models', 'llama');
const MODEL = ['--model', TINY, '--weights', 'f32', '--pool-megabytes', '64', '--embedding-model', 'none'];
const PROMPT = 'the canary in the prompt';
const BODY = { messages: [{ role: 'user', content: PROMPT }], max_tokens: 12, ignore_eos: true };

const data = mkdtempSync(join(tmpdir(), 'polylora-tracing-'));
let collector: Collector;
let direct: Gateway;
let front: Gateway;
let key = '';

beforeAll(async () => {
  collector = await startCollector();
  const traced = ['--traces-endpoint', collector.url, '--traces-headers', 'x-scope=canary-of-the-collector'];
  direct = await startGateway({
    adapters: TINY,
    auth: 'keys',
    args: [
      ...MODEL,
      ...traced,
      '--otlp-metrics-endpoint',
      new URL(collector.metricsUrl).origin,
      '--otlp-metrics-headers',
      'x-scope=canary-of-the-collector',
      '--cache',
      'exact',
      '--log-prompts',
      'yes',
      '--data-directory',
      join(data, 'direct'),
    ],
    env: {
      POLYLORA_OPERATOR_KEY: OPERATOR_KEY,
      OTEL_METRIC_EXPORT_INTERVAL: '300',
      OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: 'delta',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    },
  });
  await administer(direct, 'tenants', { id: 'acme' });
  ({ key } = await administer(direct, 'keys', { tenant: 'acme' }));
  front = await startGateway({
    adapters: null,
    args: ['--upstream', direct.url, '--embedding-model', 'none', ...traced],
    env: { POLYLORA_UPSTREAM_KEY: key },
  });
}, START_MILLISECONDS);
afterAll(async () => {
  await front?.stop();
  await direct?.stop();
  await collector?.stop();
  rmSync(data, { recursive: true, force: true });
});

interface Sent {
  readonly traceId: string;
  readonly parentId: string;
  readonly status: number;
  readonly text: string;
}

/** Asks under a trace of the client's own. */
async function ask(
  gateway: Gateway,
  body: object,
  { flags = '01', path = 'chat/completions', bearer = key } = {},
): Promise<Sent> {
  const [traceId, parentId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  const response = await fetch(`${gateway.url}/v1/${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${bearer}`,
      traceparent: `00-${traceId}-${parentId}-${flags}`,
      tracestate: 'vendor=abc',
    },
    body: JSON.stringify(body),
  });
  return { traceId, parentId, status: response.status, text: await response.text() };
}

const spansOf = ({ traceId }: Sent) => collector.spans.filter((span) => span.traceId === traceId);

/** The spans of a request, once as many servers have sent theirs as are said to have had it. */
async function collected(sent: Sent, servers = 1): Promise<readonly CollectedSpan[]> {
  await until(() => spansOf(sent).filter(({ kind }) => kind === 2).length === servers);
  return spansOf(sent);
}

/** Each span's name with its parent's; what the client sent is its own. */
function tree(spans: readonly CollectedSpan[], { parentId }: Sent): string[] {
  const parentOf = ({ parentSpanId }: CollectedSpan) =>
    parentSpanId === parentId ? 'client' : spans.find(({ spanId }) => spanId === parentSpanId)?.name;
  return spans.map((span) => `${parentOf(span)} > ${span.name}`).sort();
}

/** Whether all spans lie in those that they are parts of. */
function expectNested(spans: readonly CollectedSpan[]): void {
  for (const span of spans) {
    expect(span.from <= span.until, span.name).toBe(true);
    const parent = spans.find(({ spanId }) => spanId === span.parentSpanId);
    if (parent === undefined) continue;
    expect(parent.from <= span.from, `${span.name} begins in ${parent.name}`).toBe(true);
    expect(span.until <= parent.until, `${span.name} ends in ${parent.name}`).toBe(true);
  }
}

const SERVER = 'POST /v1/chat/completions';
const DURATION = 'gen_ai.server.request.duration';

describe('a trace', () => {
  it('has all that a request did, under what its client began, and each part in its place', async () => {
    const sent = await ask(direct, { ...BODY, model: 'adapter', stream: true, temperature: 0 });
    expect(sent.status).toBe(200);
    const spans = await collected(sent);
    expect(tree(spans, sent)).toEqual(
      [
        `client > ${SERVER}`,
        `${SERVER} > admission`,
        `${SERVER} > cache lookup`,
        `${SERVER} > chat adapter`,
        'chat adapter > queue',
        'queue > adapter load',
        'chat adapter > prefill',
        'chat adapter > decode',
      ].sort(),
    );
    expectNested(spans);
    const [server] = spans.filter(({ kind }) => kind === 2);
    expect(server?.attributes).toMatchObject({
      'http.request.method': 'POST',
      'http.route': '/v1/chat/completions',
      'http.response.status_code': 200,
      'polylora.tenant': 'acme',
      'polylora.cache.result': 'miss',
    });
    expect(server?.resource).toMatchObject({
      'service.name': 'polylora',
      'deployment.environment.name': 'test',
    });
    const inference = spans.find(({ name }) => name === 'chat adapter');
    expect(inference).toMatchObject({
      kind: 1,
      attributes: {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'polylora',
        'gen_ai.request.model': 'adapter',
        'gen_ai.request.stream': true,
        'gen_ai.request.temperature': 0,
        'gen_ai.request.max_tokens': 12,
        'gen_ai.response.finish_reasons': ['length'],
        'gen_ai.usage.output_tokens': 12,
        'gen_ai.usage.input_tokens': expect.any(Number),
      },
    });
    const isOfIt = (line: string) => line.includes(sent.traceId);
    await until(() => direct.logs().some(isOfIt));
    const line = direct.logs().find(isOfIt);
    expect(JSON.parse(line ?? '{}')).toMatchObject({
      trace_id: sent.traceId,
      msg: 'request',
      tenant: 'acme',
    });
    const listed = await fetch(`${direct.url}/admin/v1/requests?limit=1`, {
      headers: { authorization: `Bearer ${OPERATOR_KEY}` },
    });
    expect(await listed.json()).toMatchObject({ data: [{ trace_id: sent.traceId, model: 'adapter' }] });
  });

  it('of an answer that is there has no model in it', async () => {
    const body = { ...BODY, model: 'base', temperature: 0 };
    const [made, again] = [await ask(direct, body), await ask(direct, body)];
    await collected(made);
    const spans = await collected(again);
    expect(tree(spans, again)).toEqual(
      [`client > ${SERVER}`, `${SERVER} > admission`, `${SERVER} > cache lookup`].sort(),
    );
    expect(spans.find(({ kind }) => kind === 2)?.attributes).toMatchObject({
      'polylora.cache.result': 'exact',
      'gen_ai.request.model': 'llama',
    });
  });

  it('goes on in the server that computes the answer', async () => {
    const sent = await ask(front, { ...BODY, model: 'adapter', stream: true, temperature: 0.9 });
    const spans = await collected(sent, 2);
    expectNested(spans);
    const call = spans.find(({ kind }) => kind === 3);
    const { hostname, port } = new URL(direct.url);
    expect(call).toMatchObject({
      name: 'chat adapter',
      attributes: { 'server.address': hostname, 'server.port': Number(port) },
    });
    const servers = spans.filter(({ kind }) => kind === 2);
    expect(servers.map(({ parentSpanId }) => parentSpanId).sort()).toEqual(
      [sent.parentId, call?.spanId].sort(),
    );
    const instances = new Set(spans.map(({ resource }) => resource['service.instance.id']));
    expect(instances.size).toBe(2);
    expect(tree(spans, sent)).toContain('chat adapter > decode');
    const whole = await ask(front, { ...BODY, model: 'base', temperature: 0.9 });
    const vectors = await ask(front, { model: 'base', input: PROMPT }, { path: 'embeddings' });
    for (const one of [whole, vectors]) {
      const both = await collected(one, 2);
      expectNested(both);
      const [own, calling] = [2, 3].map((kind) => both.filter((span) => span.kind === kind));
      expect(own?.map(({ parentSpanId }) => parentSpanId)).toContain(calling?.[0]?.spanId);
    }
  });

  it('names what a request was refused or failed with', async () => {
    const sent = await ask(direct, { ...BODY, model: 'nothing-of-that-name' });
    expect(sent.status).toBe(404);
    const spans = await collected(sent);
    expect(tree(spans, sent)).toEqual([`client > ${SERVER}`, `${SERVER} > admission`].sort());
    expect(spans.find(({ kind }) => kind === 2)?.attributes).toMatchObject({
      'error.type': 'model_not_found',
      'http.response.status_code': 404,
    });
  });

  it('is of every route that computes something, and of no other', async () => {
    const completion = await ask(
      direct,
      { model: 'base', prompt: PROMPT, max_tokens: 2 },
      { path: 'completions' },
    );
    const response = await ask(
      direct,
      { model: 'base', input: PROMPT, max_output_tokens: 2 },
      { path: 'responses' },
    );
    const embedding = await ask(direct, { model: 'base', input: PROMPT }, { path: 'embeddings' });
    const tokens = await ask(direct, { model: 'base', prompt: PROMPT }, { path: '../tokenize' });
    expect([completion, response, embedding, tokens].map(({ status }) => status)).toEqual([
      200, 200, 200, 200,
    ]);
    expect((await collected(completion)).map(({ name }) => name)).toContain('text_completion llama');
    expect((await collected(response)).map(({ name }) => name)).toContain('chat llama');
    expect(tree(await collected(embedding), embedding)).toEqual(
      [
        'client > POST /v1/embeddings',
        'POST /v1/embeddings > admission',
        'POST /v1/embeddings > embeddings llama',
        'embeddings llama > prefill',
      ].sort(),
    );
    expect(spansOf(tokens)).toEqual([]);
  });
});

it('metrics of a server of models tell how long a model took, by what it was asked for', async () => {
  const own = await startCollector();
  const gateway = await startGateway({
    adapters: null,
    args: [
      ...['--upstream', direct.url, '--embedding-model', 'none', '--cache', 'exact'],
      ...['--data-directory', join(data, 'metrics'), '--otlp-metrics-endpoint', own.metricsUrl],
    ],
    env: { POLYLORA_UPSTREAM_KEY: key },
  });
  const fresh = { ...BODY, model: 'base', temperature: 0.7 };
  const again = { ...fresh, temperature: 0, max_tokens: 9 };
  const asked: readonly [status: number, body: object, path?: string][] = [
    [200, { ...fresh, stream: true }],
    [200, { ...fresh, n: 2, stream: true }],
    [200, again],
    // The cache has it.
    [200, again],
    [404, { ...fresh, model: 'nothing-of-that-name' }],
    [200, { model: 'base', prompt: PROMPT, max_tokens: 2, stream: true }, 'completions'],
    [200, { model: 'base', input: [PROMPT, PROMPT] }, 'embeddings'],
  ];
  try {
    for (const [status, body, path = 'chat/completions'] of asked)
      expect((await ask(gateway, body, { path })).status).toBe(status);
  } finally {
    // What is left is sent with the end.
    expect(await gateway.stop()).toBe(0);
    await own.stop();
  }
  const series = own.histograms.map(({ name, count, attributes }) => {
    expect(attributes).toMatchObject({
      'gen_ai.provider.name': 'polylora',
      'gen_ai.request.model': 'llama',
    });
    expect(Object.keys(attributes)).toHaveLength(3);
    return `${name} ${attributes['gen_ai.operation.name']} ${count}`;
  });
  // Of several choices the time for each token is not told, and of an answer that came whole no token's.
  expect(series.sort()).toEqual([
    'gen_ai.server.request.duration chat 3',
    'gen_ai.server.request.duration embeddings 1',
    'gen_ai.server.request.duration text_completion 1',
    'gen_ai.server.time_per_output_token chat 1',
    'gen_ai.server.time_per_output_token text_completion 1',
    'gen_ai.server.time_to_first_token chat 2',
    'gen_ai.server.time_to_first_token text_completion 1',
  ]);
  const bounds = Object.fromEntries(own.histograms.map((one) => [one.name, one.bounds]));
  expect(bounds).toEqual({
    'gen_ai.server.request.duration': [
      0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
    ],
    'gen_ai.server.time_to_first_token': [
      0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
    ],
    'gen_ai.server.time_per_output_token': [
      0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5,
    ],
  });
  expect(new Set(own.histograms.map(({ unit, temporality }) => `${unit} ${temporality}`))).toEqual(
    new Set(['s 2']),
  );
  expect(own.spans).toEqual([]);
});

it('metrics and spans of a process are of one service, and leave by themselves, as the environment says', async () => {
  const { traceId } = await ask(direct, { ...BODY, model: 'base', temperature: 0.7 });
  await until(
    () => collector.histograms.length > 0 && collector.spans.some((one) => one.traceId === traceId),
  );
  const span = collector.spans.find((one) => one.traceId === traceId);
  expect(collector.histograms[0]?.resource).toEqual(span?.resource);
  expect(collector.histograms[0]?.temporality).toBe(1);
});

describe('nothing is told', () => {
  it('of a trace that its client does not sample', async () => {
    const quiet = await ask(front, { ...BODY, model: 'base', temperature: 0.8 }, { flags: '00' });
    expect(quiet.status).toBe(200);
    await collected(await ask(front, { ...BODY, model: 'base', temperature: 0.8 }), 2);
    expect(spansOf(quiet)).toEqual([]);
    expect([...direct.logs(), ...front.logs()].filter((line) => line.includes(quiet.traceId))).toEqual([]);
  });

  it('of a prompt, an answer or a key, in any byte', async () => {
    const sent = await ask(direct, { ...BODY, model: 'base', stop: ['canary-stop'], user: 'canary-user' });
    await ask(direct, { ...BODY, model: 'canary-model' }, { bearer: 'plk_canary_of_a_key' });
    await collected(sent);
    expect(collector.headers.every((headers) => headers['x-scope'] === 'canary-of-the-collector')).toBe(true);
    const bytes = Buffer.concat([...collector.bodies]).toString('utf8');
    expect(bytes).toContain(sent.traceId);
    expect(bytes).toContain(DURATION);
    for (const secret of ['canary', key, OPERATOR_KEY]) expect(bytes).not.toContain(secret);
  });
});

it('a collector that is away costs nobody an answer, and is told of once', async () => {
  const spare = await startCollector();
  const { port } = new URL(spare.url);
  await spare.stop();
  const gateway = await startGateway({
    adapters: null,
    args: [
      '--upstream',
      direct.url,
      '--embedding-model',
      'none',
      '--traces-endpoint',
      `http://127.0.0.1:${port}`,
      '--otlp-metrics-endpoint',
      `http://127.0.0.1:${port}`,
    ],
    env: { POLYLORA_UPSTREAM_KEY: key, OTEL_METRIC_EXPORT_INTERVAL: '1000' },
  });
  const told = (message: string) => gateway.logs().filter((line) => line.includes(message)).length;
  const body = { ...BODY, model: 'base', temperature: 0 };
  try {
    expect((await ask(gateway, body)).status).toBe(200);
    await until(() => told('traces cannot be sent') > 0 && told('metrics cannot be sent') > 0, 30);
    for (let count = 0; count < 3; count++) expect((await ask(gateway, body)).status).toBe(200);
    const back = await startCollector(Number(port));
    try {
      await until(async () => {
        await ask(gateway, body);
        return told('traces are sent again') > 0 && told('metrics are sent again') > 0;
      }, 30);
      expect(back.spans.length).toBeGreaterThan(0);
      // What was measured while it was away is in the sum.
      await until(() => (back.histograms.findLast(({ name }) => name === DURATION)?.count ?? 0) > 4);
      expect([told('traces cannot be sent'), told('traces are sent again')]).toEqual([1, 1]);
    } finally {
      await back.stop();
    }
  } finally {
    expect(await gateway.stop()).toBe(0);
  }
}, 120_000);

it.each([
  ['main.js', false],
  ['tracing/otlp.js', true],
  ['tracing/otlp-metrics.js', true],
])("%s of the server loads OpenTelemetry's SDK: %s", async (file, loads) => {
  const code = `import { createRequire } from 'node:module';
    await import(process.argv[1]);
    const loaded = Object.keys(createRequire(process.argv[1]).cache);
    console.log(loaded.length > 10, loaded.some((path) => /@opentelemetry.(sdk|exporter)/.test(path)));`;
  const path = join(FIXTURES, '..', '..', 'gateway', 'dist', file);
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code, path]);
  expect(stdout.trim()).toBe(`true ${loads}`);
});
