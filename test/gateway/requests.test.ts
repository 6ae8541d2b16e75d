/** The list of requests, of a real gateway on a real engine: who sees what of which. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES } from '../support/engine.ts';
import { administer, type Gateway, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const TINY = join(FIXTURES, 'models', 'llama');
const MODEL = ['--model', TINY, '--weights', 'f32', '--pool-megabytes', '64', '--embedding-model', 'none'];
const BODY = {
  model: 'base',
  messages: [{ role: 'user', content: 'Hi there' }],
  max_tokens: 8,
  ignore_eos: true,
};

const data = mkdtempSync(join(tmpdir(), 'polylora-requests-'));
let direct: Gateway;
let front: Gateway;
const keys = { acme: '', acmeAdmin: '', other: '', otherAdmin: '', limited: '' };

beforeAll(async () => {
  const env = { POLYLORA_OPERATOR_KEY: OPERATOR_KEY };
  direct = await startGateway({
    adapters: TINY,
    auth: 'keys',
    args: [...MODEL, '--cache', 'exact', '--data-directory', data],
    env,
  });
  for (const id of ['acme', 'other']) await administer(direct, 'tenants', { id });
  const newKey = async (body: object) => (await administer(direct, 'keys', body)).key;
  keys.acme = await newKey({ tenant: 'acme' });
  keys.acmeAdmin = await newKey({ tenant: 'acme', role: 'admin' });
  keys.other = await newKey({ tenant: 'other' });
  keys.otherAdmin = await newKey({ tenant: 'other', role: 'admin' });
  keys.limited = await newKey({ tenant: 'acme', limits: { requests_per_minute: 1 } });
  front = await startGateway({
    adapters: null,
    args: ['--upstream', direct.url, '--embedding-model', 'none', '--log-prompts', 'yes'],
    env: { ...env, POLYLORA_UPSTREAM_KEY: keys.acme },
  });
}, START_MILLISECONDS);
afterAll(async () => {
  await front?.stop();
  await direct?.stop();
  rmSync(data, { recursive: true, force: true });
});

function send(gateway: Gateway, key: string, body: object, path = 'chat/completions', signal?: AbortSignal) {
  return fetch(`${gateway.url}/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** Asks for an answer and waits for all of it. @returns the request's id, as its answer has it */
async function ask(key: string, body: object, path?: string): Promise<{ id: string | null; status: number }> {
  const response = await send(direct, key, body, path);
  await response.text();
  return { id: response.headers.get('x-request-id'), status: response.status };
}

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as they are
type Json = any;

async function list(key: string, query = '', gateway = direct): Promise<{ status: number; json: Json }> {
  const response = await fetch(`${gateway.url}/admin/v1/requests${query}`, {
    headers: { authorization: `Bearer ${key}` },
  });
  return { status: response.status, json: await response.json() };
}

/** The entry of a request that has ended, once it is there. */
async function entryOf({ id }: { id: string | null }, gateway = direct): Promise<Json> {
  let found: Json;
  await until(async () => {
    const { data } = (await list(OPERATOR_KEY, '', gateway)).json;
    found = data.find((entry: Json) => entry.request_id === id);
    return found !== undefined && found.state !== 'running';
  });
  return found;
}

const phasesOf = (entry: Json): string[] => entry.phases.map(({ name }: Json) => name);

describe('the list of requests', () => {
  it('tells of a request what it was, took and used', async () => {
    const body = { ...BODY, model: 'adapter', temperature: 0.7, n: 2, stream: true };
    const entry = await entryOf(await ask(keys.acme, body));
    expect(entry).toEqual({
      id: expect.stringMatching(/^r[\da-f]{6}-\d+$/),
      object: 'request',
      request_id: expect.stringMatching(/^req_/),
      at: expect.any(Number),
      state: 'done',
      method: 'POST',
      route: '/v1/chat/completions',
      status: 200,
      error_code: null,
      tenant: 'acme',
      key: expect.stringMatching(/^key_/),
      model: 'adapter',
      stream: true,
      cache: 'miss',
      choices: 2,
      prompt_tokens: expect.any(Number),
      completion_tokens: 16,
      cached_prompt_tokens: expect.any(Number),
      duration_ms: expect.any(Number),
      phases: expect.any(Array),
      trace_id: null,
      prompt: null,
    });
    expect(Math.abs(entry.at - Date.now())).toBeLessThan(60_000);
    expect(phasesOf(entry)).toEqual(['admission', 'cache', 'queue', 'adapter_load', 'prefill', 'decode']);
    for (const { start_ms: start, duration_ms: duration } of entry.phases) {
      expect(start).toBeGreaterThanOrEqual(0);
      expect(duration).toBeGreaterThan(0);
      // Each is rounded to a microsecond.
      expect(start + duration).toBeLessThanOrEqual(entry.duration_ms + 0.01);
    }
    const again = await entryOf(await ask(keys.acme, { ...body, temperature: 0.71 }));
    expect(phasesOf(again)).not.toContain('adapter_load');
  });

  it('tells what the cache did', async () => {
    const body = { ...BODY, temperature: 0, max_tokens: 5 };
    const [made, found] = [await ask(keys.acme, body), await ask(keys.acme, body)];
    expect((await entryOf(made)).cache).toBe('miss');
    const hit = await entryOf(found);
    expect([hit.cache, hit.completion_tokens, phasesOf(hit)]).toEqual(['exact', 0, ['admission', 'cache']]);
  });

  it('has what was refused, of nobody who is known for operators alone', async () => {
    expect((await ask('plk_nobody', BODY)).status).toBe(401);
    const unknown = await entryOf(await ask(keys.acme, { ...BODY, model: 'missing' }));
    expect(unknown).toMatchObject({
      state: 'failed',
      status: 404,
      error_code: 'model_not_found',
      model: null,
    });
    expect(phasesOf(unknown)).toEqual(['admission']);
    await ask(keys.limited, { ...BODY, max_tokens: 1 });
    const limited = await entryOf(await ask(keys.limited, { ...BODY, max_tokens: 2 }));
    expect(limited).toMatchObject({
      state: 'failed',
      status: 429,
      error_code: 'rate_limit_exceeded',
      model: 'llama',
    });
    const strangersOf = async (key: string) =>
      (await list(key, '?limit=1000')).json.data.filter(({ status }: Json) => status === 401);
    expect(await strangersOf(OPERATOR_KEY)).toMatchObject([
      { tenant: null, key: null, state: 'failed', error_code: 'invalid_api_key' },
    ]);
    expect(await strangersOf(keys.otherAdmin)).toEqual([]);
  });

  it('is the newest first, in pages, by what it is asked for', async () => {
    const texts = await entryOf(await ask(keys.acme, { model: 'base', input: ['a', 'b'] }, 'embeddings'));
    expect([texts.choices, phasesOf(texts)]).toEqual([2, ['admission', 'prefill']]);
    const numbers: number[] = [];
    for (let after = '', more = true; more; ) {
      const { json } = await list(OPERATOR_KEY, `?limit=3${after}`);
      numbers.push(...json.data.map(({ id }: Json) => Number(id.split('-')[1])));
      more = json.has_more;
      after = `&after=${json.data.at(-1).id}`;
    }
    expect(numbers.length).toBeGreaterThan(3);
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => b - a));
    const only = async (query: string) => (await list(OPERATOR_KEY, query)).json.data;
    const failed = await only('?state=failed');
    expect(failed.length).toBeGreaterThan(1);
    expect(new Set(failed.map(({ state }: Json) => state))).toEqual(new Set(['failed']));
    const embeddings = await only('?route=/v1/embeddings&tenant=acme&model=llama');
    expect(embeddings.map(({ id }: Json) => id)).toEqual([texts.id]);
    expect(await only('?tenant=nobody')).toEqual([]);
    for (const [query, param] of [
      ['?limit=0', 'limit'],
      ['?limit=1001', 'limit'],
      ['?after=x', 'after'],
      ['?state=asleep', 'state'],
      ['?route=/metrics', 'route'],
      ['?modell=x', 'modell'],
    ]) {
      const { status, json } = await list(OPERATOR_KEY, query);
      expect([status, json.error.param]).toEqual([400, param]);
    }
  });

  it("is a tenant's own to its administrator", async () => {
    await entryOf(await ask(keys.other, BODY));
    const tenants = async (key: string, query = '') =>
      new Set((await list(key, query)).json.data.map(({ tenant }: Json) => tenant));
    expect(await tenants(OPERATOR_KEY)).toEqual(new Set(['acme', 'other', null]));
    expect(await tenants(keys.acmeAdmin)).toEqual(new Set(['acme']));
    expect(await tenants(keys.otherAdmin, '?tenant=other')).toEqual(new Set(['other']));
    const [foreign, none] = [
      await list(keys.otherAdmin, '?tenant=acme'),
      await list(keys.otherAdmin, '?tenant=nobody'),
    ];
    expect([foreign.status, none.status]).toEqual([404, 404]);
    expect(JSON.stringify(foreign.json).replaceAll('acme', 'nobody')).toBe(JSON.stringify(none.json));
    expect((await list(keys.acme)).status).toBe(403);
  });

  it('has prompts where the operator logs them, and the time of the server that computes', async () => {
    const messages = [
      { role: 'system', content: 'Be short' },
      { role: 'user', content: 'x'.repeat(6_000) },
    ];
    const response = await send(front, 'any', {
      ...BODY,
      messages: [messages[0], BODY.messages[0]],
      stream: true,
    });
    await response.text();
    const entry = await entryOf({ id: response.headers.get('x-request-id') }, front);
    expect(entry).toMatchObject({ prompt: 'system: Be short\nuser: Hi there', cache: null, key: null });
    expect(phasesOf(entry)).toEqual(['admission', 'upstream', 'decode']);
    const long = await send(front, 'any', { ...BODY, messages });
    await long.text();
    expect((await entryOf({ id: long.headers.get('x-request-id') }, front)).prompt.length).toBeLessThan(
      5_000,
    );
  });
});

interface Live {
  readonly events: Json[];
  /** Resolves when the server has ended it. */
  readonly ended: Promise<void>;
  leave(): void;
}

/** Watches requests from now on. */
async function watch(gateway: Gateway, key: string): Promise<Live> {
  const leaving = new AbortController();
  const response = await fetch(`${gateway.url}/admin/v1/requests/live`, {
    headers: { authorization: `Bearer ${key}` },
    signal: leaving.signal,
  });
  expect([response.status, response.headers.get('content-type')]).toEqual([
    200,
    'text/event-stream; charset=utf-8',
  ]);
  const events: Json[] = [];
  let opened = () => {};
  const isOpen = new Promise<void>((resolve) => {
    opened = resolve;
  });
  const read = async () => {
    let text = '';
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
      opened();
      text += piece;
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const [, data] = /^event: request\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
        if (data !== undefined) events.push(JSON.parse(data));
        text = text.slice(end + 2);
      }
    }
  };
  const ended = read().catch((error: unknown) => {
    if (!leaving.signal.aborted) throw error;
  });
  await isOpen;
  return { events, ended, leave: () => leaving.abort() };
}

const states = ({ events }: Live, { id }: { id: string | null }): string[] =>
  events.filter((entry) => entry.request_id === id).map(({ state }) => state);

describe('requests as they happen', () => {
  it('begin and end, each under one id, to whoever may see them', async () => {
    const [all, acme, other] = await Promise.all(
      [OPERATOR_KEY, keys.acmeAdmin, keys.otherAdmin].map((key) => watch(direct, key)),
    );
    const mine = await ask(keys.acme, { ...BODY, temperature: 0.6 });
    const refused = await ask(keys.acme, { ...BODY, model: 'missing' });
    const theirs = await ask(keys.other, { ...BODY, temperature: 0.6 });
    await until(() => states(all!, theirs).length === 2 && states(other!, theirs).length === 2);
    expect(states(all!, mine)).toEqual(['running', 'done']);
    expect(states(acme!, mine)).toEqual(['running', 'done']);
    expect(states(all!, refused)).toEqual(['failed']);
    expect(acme!.events.map(({ tenant }) => tenant)).not.toContain('other');
    expect(other!.events.map(({ tenant }) => tenant)).not.toContain('acme');
    const [begun, done] = all!.events.filter((entry) => entry.request_id === mine.id);
    expect([begun.id, begun.status, begun.duration_ms]).toEqual([done.id, null, null]);
    expect(done).toEqual(await entryOf(mine));
    for (const live of [all!, acme!, other!]) live.leave();
  });

  it('that their client left are aborted', async () => {
    const live = await watch(direct, OPERATOR_KEY);
    const leaving = new AbortController();
    const long = { ...BODY, max_tokens: 400, n: 4, stream: true, temperature: 0.5 };
    const response = await send(direct, keys.acme, long, undefined, leaving.signal);
    await response.body!.getReader().read();
    leaving.abort();
    const left = { id: response.headers.get('x-request-id') };
    await until(() => states(live, left).length === 2);
    expect(states(live, left)).toEqual(['running', 'aborted']);
    expect(await entryOf(left)).toMatchObject({ status: 200, error_code: 'client_closed_request' });
    live.leave();
  });

  it('are for administrators', async () => {
    const response = await fetch(`${direct.url}/admin/v1/requests/live`, {
      headers: { authorization: `Bearer ${keys.acme}` },
    });
    expect(response.status).toBe(403);
    await response.body?.cancel();
  });

  it('end with the server, which does not wait for those who watch', async () => {
    const live = await watch(front, OPERATOR_KEY);
    expect(await front.stop()).toBe(0);
    await live.ended;
  });
});
