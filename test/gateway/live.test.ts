/** What goes on in a server, as its operator and its tenants' administrators see it, with a real engine at work. */
import { once } from 'node:events';
import { request } from 'node:http';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UpstreamBackend } from '../../gateway/src/backends/upstream/upstream.ts';
import { createLogger } from '../../gateway/src/logging.ts';
import { LIVE_OPERATIONS } from '../../gateway/src/openapi/live-operations.ts';
import { createHttpServer, listen } from '../../gateway/src/server.ts';
import { openApp } from '../support/app.ts';
import { FIXTURES } from '../support/engine.ts';
import {
  administer,
  type Gateway,
  launch,
  START_MILLISECONDS,
  startGateway,
  until,
} from '../support/gateway.ts';
import { readLive } from '../support/live.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as they are
type Json = any;

const TINY = join(FIXTURES, 'models', 'llama');
const ADAPTER = 'adapter';

let gateway: Gateway;
const keys = { acme: '', acmeAdmin: '', other: '', otherAdmin: '' };

async function start(): Promise<Gateway> {
  return startGateway({
    auth: 'keys',
    adapters: TINY,
    args: ['--model', TINY, '--weights', 'f32', '--pool-megabytes', '64', '--max-running', '8'],
    env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY },
  });
}

beforeAll(async () => {
  gateway = await start();
  for (const id of ['acme', 'other']) {
    await administer(gateway, 'tenants', { id, models: ['*'] });
    keys[id as 'acme'] = (await administer(gateway, 'keys', { tenant: id, role: 'user' })).key;
    keys[`${id}Admin` as 'acmeAdmin'] = (
      await administer(gateway, 'keys', { tenant: id, role: 'admin' })
    ).key;
  }
}, START_MILLISECONDS);
afterAll(() => gateway?.stop());

async function ask(
  key: string,
  method: string,
  path: string,
): Promise<{ readonly status: number; readonly json: Json }> {
  const response = await fetch(`${gateway.url}/admin/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${key}` },
  });
  return { status: response.status, json: await response.json() };
}

/** It is what the API's document says, and has nothing besides. */
function documented(operation: string, part: 'answer' | 'events', value: unknown): void {
  expect(LIVE_OPERATIONS[operation]?.[part]?.schema.parse(value)).toEqual(value);
}

/** Starts an answer that does not end by itself before it is left; resolves at its first piece. */
async function begin(key: string, model: string): Promise<{ leave(): void }> {
  const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: key, maxRetries: 0 });
  const leaving = new AbortController();
  const again = async () => {
    const fields = { ignore_eos: true, min_tokens: 100 } as object;
    while (!leaving.signal.aborted) {
      const stream = await client.completions.create(
        { model, prompt: 'Once upon a time there was', max_tokens: 200, stream: true, ...fields },
        { signal: leaving.signal },
      );
      for await (const _ of stream) begun();
    }
  };
  let begun = () => {};
  const first = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const all = again().catch((error: unknown) => {
    if (!leaving.signal.aborted) throw error;
  });
  await Promise.race([first, all]);
  return { leave: () => leaving.abort() };
}

describe('the live stream', () => {
  it('begins with what was, and tells each second of all that goes on', async () => {
    const work = [await begin(keys.acme, ADAPTER), await begin(keys.other, 'base')];
    const live = await readLive(gateway.url, OPERATOR_KEY);
    try {
      expect(live.status).toBe(200);
      expect(live.headers.get('content-type')).toMatch(/^text\/event-stream/);
      expect(live.headers.get('cache-control')).toBe('no-cache');
      const snapshot = await live.snapshot(
        ({ rates, first_token_ms: first, tenants }) =>
          rates.generation_tokens > 0 && first !== null && tenants.length === 2,
      );
      const [history] = live.events;
      expect(history).toMatchObject({ event: 'history', data: { data: expect.any(Array) } });
      expect(history!.data.data.length).toBeLessThanOrEqual(300);
      documented('GET /admin/v1/live', 'events', history!.data);
      documented('GET /admin/v1/live', 'events', snapshot);
      expect(snapshot).toMatchObject({
        ready: true,
        in_flight: expect.any(Number),
        resident_adapters: 1,
      });
      const { pages, first_token_ms: first, inter_token_ms: inter, queue_ms: queue } = snapshot;
      expect(pages.kv + pages.prefix + pages.adapter + pages.free).toBe(pages.total);
      expect(pages.adapter).toBeGreaterThan(0);
      for (const times of [first, inter, queue].filter((each) => each !== null)) {
        expect(times.p50).toBeLessThanOrEqual(times.p95);
        expect(times.p95).toBeLessThanOrEqual(times.p99);
      }
      expect(snapshot.tenants.map(({ tenant }: Json) => tenant).toSorted()).toEqual(['acme', 'other']);
      for (const { sequences, running } of snapshot.tenants) expect(running).toBeLessThanOrEqual(sequences);
      const servedBy = ({ tenants }: Json, name: string): number =>
        tenants.find(({ tenant }: Json) => tenant === name)?.service ?? 0;
      const next = await live.snapshot((each) =>
        ['acme', 'other'].every((name) => servedBy(each, name) > servedBy(snapshot, name)),
      );
      expect(next.at).toBeGreaterThan(snapshot.at);
      const scraped = await fetch(`${gateway.url}/metrics`, {
        headers: { authorization: `Bearer ${OPERATOR_KEY}` },
      });
      const metrics = await scraped.text();
      for (const name of ['acme', 'other']) {
        const [, counted] =
          new RegExp(`^polylora_tenant_service_tokens_total{tenant="${name}"} (\\d+)$`, 'm').exec(metrics) ??
          [];
        expect(Number(counted)).toBeGreaterThanOrEqual(servedBy(next, name));
      }
      // Who comes later is told of it first.
      const later = await readLive(gateway.url, OPERATOR_KEY);
      await later.snapshot();
      const remembered = later.events[0]!.data.data.map(({ at }: Json) => at);
      expect(remembered).toContain(snapshot.at);
      expect(remembered).toEqual(remembered.toSorted((a: number, b: number) => a - b));
      later.leave();
    } finally {
      live.leave();
      for (const { leave } of work) leave();
    }
    await until(async () => (await ask(OPERATOR_KEY, 'GET', 'backends')).json.data[0].running === 0);
  });

  it('tells a tenant’s administrator of its own requests alone', async () => {
    const live = await readLive(gateway.url, keys.acmeAdmin);
    const others = await begin(keys.other, 'base');
    try {
      const whole = await readLive(gateway.url, OPERATOR_KEY);
      await whole.snapshot(({ rates }) => rates.generation_tokens > 0);
      whole.leave();
      const quiet = await live.snapshot();
      expect(quiet).toMatchObject({
        ready: true,
        ...{ running: 0, waiting: 0, in_flight: 0, pages: null },
        ...{ resident_adapters: null, running_adapters: null, tenants: [] },
        rates: { requests: 0, generation_tokens: 0, prompt_tokens: 0 },
      });
      const own = await begin(keys.acme, ADAPTER);
      const busy = await live.snapshot(
        ({ rates, tenants }) => rates.generation_tokens > 0 && tenants.length > 0,
      );
      expect(busy.tenants).toMatchObject([{ tenant: 'acme', weight: 1 }]);
      expect(busy.tenants[0].sequences).toBeLessThanOrEqual(1);
      expect(busy.pages).toBeNull();
      own.leave();
      expect(JSON.stringify(live.events)).not.toContain('other');
    } finally {
      others.leave();
      live.leave();
    }
  });

  it('is for administrators, and looks at nothing where only its head is asked for', async () => {
    expect((await ask(keys.acme, 'GET', 'live')).status).toBe(403);
    expect((await ask(OPERATOR_KEY, 'GET', 'live?tenant=acme')).status).toBe(400);
    for (let time = 0; time < 120; time++) {
      const { status } = await fetch(`${gateway.url}/admin/v1/live`, {
        method: 'HEAD',
        headers: { authorization: `Bearer ${OPERATOR_KEY}` },
      });
      expect(status).toBe(200);
    }
    const live = await readLive(gateway.url, OPERATOR_KEY);
    expect(live.status).toBe(200);
    live.leave();
  });

  it('ends when the key does not hold any more', async () => {
    const made = (await administer(gateway, 'keys', { tenant: 'acme', role: 'admin' })) as Json;
    const live = await readLive(gateway.url, made.key);
    await live.snapshot();
    expect((await ask(OPERATOR_KEY, 'POST', `keys/${made.id}/block`)).status).toBe(200);
    await live.ended;
    expect((await readLive(gateway.url, made.key)).status).toBe(401);
  });

  it('goes on for others where one reads nothing', async () => {
    const stuck = request(`${gateway.url}/admin/v1/live`, {
      headers: { authorization: `Bearer ${OPERATOR_KEY}` },
    }).end();
    const [response] = await once(stuck, 'response');
    response.pause();
    const live = await readLive(gateway.url, OPERATOR_KEY);
    await live.snapshot();
    await live.snapshot();
    stuck.destroy();
    live.leave();
  });
});

describe('the pool', () => {
  it('tells of every page who has it, by the names that people know', async () => {
    const work = await begin(keys.acme, ADAPTER);
    try {
      const has = (pool: Json, kind: string) => pool.owners.filter((owner: Json) => owner.kind === kind);
      let pool: Json = null;
      await until(async () => {
        pool = (await ask(OPERATOR_KEY, 'GET', 'pool')).json;
        return has(pool, 'kv').length > 0;
      });
      documented('GET /admin/v1/pool', 'answer', pool);
      expect(pool.owners[0]).toEqual({ kind: 'free' });
      expect(has(pool, 'kv')).toMatchObject([{ tenant: 'acme', adapter: ADAPTER, requests: 1 }]);
      expect(has(pool, 'kv')[0].request).toMatch(/^cmpl-/);
      expect(has(pool, 'adapter')).toMatchObject([{ name: ADAPTER, pinned: false, running: 1 }]);
      const counted = pool.runs.reduce((sum: number, [, count]: Json) => sum + count, 0);
      expect(counted).toBe(pool.pages_total);
      for (const [owner] of pool.runs) expect(owner).toBeLessThan(pool.owners.length);
      expect(pool.page_bytes).toBeGreaterThan(0);
    } finally {
      work.leave();
    }
  });

  it('keeps an adapter that is pinned, by its name', async () => {
    const pinned = await ask(OPERATOR_KEY, 'PUT', `adapters/${ADAPTER}/pin`);
    expect(pinned).toMatchObject({ status: 200, json: { name: ADAPTER, pinned: true } });
    const { digest } = pinned.json;
    const owner = async () =>
      (await ask(OPERATOR_KEY, 'GET', 'pool')).json.owners.find((each: Json) => each.digest === digest);
    await until(async () => (await owner())?.pinned === true);
    expect((await ask(OPERATOR_KEY, 'DELETE', `adapters/${ADAPTER}/pin`)).json).toEqual({
      name: ADAPTER,
      digest,
      pinned: false,
    });
    expect((await owner())?.pinned).toBe(false);
    const audit = (await ask(OPERATOR_KEY, 'GET', `audit?subject=adapter:${ADAPTER}`)).json.data;
    expect(audit.map(({ action }: Json) => action)).toEqual(['adapter.let_go', 'adapter.hold']);
    for (const name of ['nobody', 'base', `${ADAPTER}/x`]) {
      const none = await ask(OPERATOR_KEY, 'PUT', `adapters/${encodeURIComponent(name)}/pin`);
      expect([none.status, none.json.error.code]).toEqual([404, 'adapter_not_found']);
    }
  });

  it('is the operator’s, as what pins and tells of backends is', async () => {
    for (const [method, path] of [
      ['GET', 'pool'],
      ['GET', 'backends'],
      ['PUT', `adapters/${ADAPTER}/pin`],
      ['DELETE', `adapters/${ADAPTER}/pin`],
    ] as const) {
      const { status, json } = await ask(keys.acmeAdmin, method, path);
      expect([status, json.error.code, path]).toEqual([403, 'insufficient_permissions', path]);
    }
  });
});

describe('backends', () => {
  it('tells how the engine is', async () => {
    const { json } = await ask(OPERATOR_KEY, 'GET', 'backends');
    documented('GET /admin/v1/backends', 'answer', json);
    expect(json).toMatchObject({
      has_more: false,
      data: [
        {
          ...{ id: 'engine', kind: 'engine', ready: true, model: expect.any(String), url: null },
          ...{ restarts: 0, threads: expect.any(Number), simd: expect.any(String) },
          ...{ waiting: 0, circuit: null, last_error: null, since: expect.any(Number) },
        },
      ],
    });
  });

  it('tells of an upstream where it is, without what opens it', async () => {
    const backend = new UpstreamBackend({
      url: 'http://someone:secret@127.0.0.1:9/base/v1',
      key: 'upstream-key',
      ...{ prefixes: 'off', priorities: 'off', mostAnswerBytes: 1000 },
      ...{ secret: Buffer.alloc(32, 1), logger: createLogger('silent') },
    });
    const app = await openApp({ backend });
    try {
      const { text, json } = await app.ask(OPERATOR_KEY, 'GET', '/admin/v1/backends');
      expect(json.data).toMatchObject([
        { kind: 'upstream', ready: false, url: 'http://127.0.0.1:9/base/v1', threads: null },
      ]);
      expect(text).not.toMatch(/secret|upstream-key/);
      const pool = await app.ask(OPERATOR_KEY, 'GET', '/admin/v1/pool');
      expect([pool.status, pool.json.error.code]).toEqual([404, 'no_page_pool']);
    } finally {
      await app.close();
      await backend.close();
    }
  });
});

describe('polylora top', () => {
  const env = () => ({ POLYLORA_OPERATOR_KEY: OPERATOR_KEY, POLYLORA_URL: gateway.url });

  it('shows one screen with --once, in words and as JSON', async () => {
    const words = launch(['top', '--once'], env());
    expect(await words.exited).toBe(0);
    expect(words.output.stdout).toMatch(/^polylora top {2}http:\/\/127\.0\.0\.1:\d+ .* ready\n/);
    expect(words.output.stdout).toMatch(/\npages +\[[#+@.]{60}\]\n/);
    expect(words.output.stdout).not.toContain('\u001b');
    const json = launch(['top', '--once', '--json'], env());
    expect(await json.exited).toBe(0);
    expect(JSON.parse(json.output.stdout)).toMatchObject({
      ready: true,
      pages: { total: expect.any(Number) },
    });
    const own = launch(['top', '--once', '--json'], { ...env(), POLYLORA_OPERATOR_KEY: keys.acmeAdmin });
    expect(await own.exited).toBe(0);
    expect(JSON.parse(own.output.stdout)).toMatchObject({ ready: true, pages: null });
  });

  it('writes a line each second where there is no terminal, until it is told to end', async () => {
    const top = launch(['top'], env());
    await until(() => top.output.stdout.split('\n').length > 3, 30);
    top.child.kill('SIGINT');
    expect(await top.exited).toBe(0);
    const [titles = '', ...lines] = top.output.stdout.trimEnd().split('\n');
    expect(titles).toMatch(/^TIME +READY +RUNNING/);
    for (const line of lines) expect(line).toMatch(/^20\d\d-\S+Z +yes +\d+ /);
    expect(top.output.stderr).toBe('');
  });

  it('says what is wrong where there is no server, or not with this key', async () => {
    const wrong = launch(['top'], { ...env(), POLYLORA_OPERATOR_KEY: 'wrong' });
    expect(await wrong.exited).toBe(1);
    expect(wrong.output.stderr).toContain('invalid_api_key');
    const nobody = launch(['top', '--once', '--url', 'http://127.0.0.1:9'], env());
    expect(await nobody.exited).toBe(1);
    expect(nobody.output.stderr).toContain('No server answers at http://127.0.0.1:9');
  });

  it('comes back to a server that was lost', async () => {
    const first = await openApp();
    let server = createHttpServer(first.app.fetch);
    const port = await listen(server, '127.0.0.1', 0);
    const top = launch(['top', '--json'], { ...env(), POLYLORA_URL: `http://127.0.0.1:${port}` });
    const lines = () => top.output.stdout.split('\n').length - 1;
    try {
      await until(() => lines() > 1, 30);
      server.close();
      server.closeAllConnections();
      await until(() => top.output.stderr.includes('Trying again'), 30);
      server = createHttpServer(first.app.fetch);
      await listen(server, '127.0.0.1', port);
      const before = lines();
      await until(() => lines() > before + 1, 30);
    } finally {
      top.child.kill('SIGTERM');
      expect(await top.exited).toBe(0);
      await first.close();
      server.close();
      server.closeAllConnections();
    }
  });
});

describe('a stop', () => {
  it('ends live streams, and waits for no reader', async () => {
    const server = await start();
    const live = await readLive(server.url, OPERATOR_KEY);
    await live.snapshot();
    expect(await server.stop()).toBe(0);
    await live.ended;
  }, 60_000);
});
