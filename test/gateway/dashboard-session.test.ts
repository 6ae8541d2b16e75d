/** Sessions of the admin dashboard: signing in, what a cookie may do, and what ends it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SteadyClock } from '../../gateway/src/steady-clock.ts';
import { openApp, type TestApp } from '../support/app.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const HOUR = 3_600_000;
const COOKIE = 'polylora_session';

let folder = '';
let gateway: TestApp;
/** Of the same database, with the same secret. */
let second: TestApp;
let hours = 0;
let adminKey = { id: '', key: '' };
let userKey = '';

// Both clocks go on together: that is time that passes, and no jump.
const clock = new SteadyClock(
  () => Date.now() + hours * HOUR,
  () => performance.now() + hours * HOUR,
);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-session-'));
  const databaseFile = join(folder, 'shared.db');
  gateway = await openApp({ databaseFile, clock });
  second = await openApp({ databaseFile, clock });
  for (const id of ['acme', 'other']) await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/tenants', { id });
  adminKey = (await newKey('admin')) as typeof adminKey;
  userKey = (await newKey('user')).key;
});
afterAll(async () => {
  await gateway.close();
  await second.close();
  await rm(folder, { recursive: true });
});

async function newKey(role: string): Promise<{ id: string; key: string }> {
  const { status, json } = await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/keys', {
    tenant: 'acme',
    role,
  });
  expect(status).toBe(201);
  return json;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into as they are
  readonly json: any;
}

async function send(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: unknown,
  app = gateway.app,
): Promise<Answer> {
  const response = await app.request(path, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, json: text === '' ? null : JSON.parse(text) };
}

const signIn = (key: string, headers: Record<string, string> = {}, app = gateway.app) =>
  send('POST', '/admin/session', headers, { key }, app);

/** The cookie as a browser sends it, and the token. */
async function session(key: string, app = gateway.app) {
  const answer = await signIn(key, {}, app);
  expect(answer.status).toBe(200);
  const [pair = ''] = (answer.headers.get('set-cookie') ?? '').split(';');
  return { cookie: pair, csrf: answer.json.csrf as string };
}

const outcome = ({ status, json }: Answer): [number, string | null] => [status, json?.error?.code ?? null];

describe('signing in', () => {
  it('gives an operator a cookie that no script, other site or plain request of it has', async () => {
    const twelveHoursOn = () => Math.floor(clock.now() / 1000) + 12 * 3600;
    const earliest = twelveHoursOn();
    const { status, json, headers } = await signIn(OPERATOR_KEY);
    expect(status).toBe(200);
    // A second may end meanwhile.
    expect([earliest, twelveHoursOn()]).toContain(json.expires_at);
    expect(json).toEqual({
      ...{ role: 'operator', tenant: null, key: null, csrf: expect.stringMatching(/^[\w-]{43}$/) },
      expires_at: expect.any(Number),
      server: {
        ...{ version: expect.stringMatching(/^\d+\.\d+/), checks_keys: true, cache: 'off' },
        ...{ backend: 'engine', log_prompts: false, model: null },
      },
    });
    expect(headers.get('set-cookie')).toMatch(
      new RegExp(`^${COOKIE}=[\\w.-]+; Path=/; HttpOnly; SameSite=Strict$`),
    );
    // It has the session's token.
    expect(headers.get('cache-control')).toBe('no-store');
    expect(JSON.stringify(json)).not.toContain(OPERATOR_KEY);
  });

  it("gives a tenant's administrator one of the tenant", async () => {
    const { json } = await signIn(` ${adminKey.key}\n`);
    expect(json).toMatchObject({ role: 'admin', tenant: 'acme', key: adminKey.id });
  });

  it.each([
    ['a key of nobody', (): string => `plk_${'A'.repeat(43)}`, [401, 'invalid_api_key']],
    ['what is no key', (): string => 'secret', [401, 'invalid_api_key']],
    ["a plain user's key", (): string => userKey, [403, 'insufficient_permissions']],
  ] as const)('refuses %s, and sets no cookie', async (_, key, expected) => {
    const answer = await signIn(key());
    expect(outcome(answer)).toEqual(expected);
    expect(answer.json.error.param).toBe('key');
    expect(answer.headers.get('set-cookie')).toBeNull();
  });

  it.each([
    [{}, 'key', 'missing_required_parameter'],
    [{ key: 5 }, 'key', 'invalid_type'],
    [{ key: '' }, 'key', 'empty_string'],
    [{ key: 'x'.repeat(600) }, 'key', 'string_above_max_length'],
    [{ key: 'x', remember: true }, 'remember', 'unsupported_parameter'],
  ])('tells what is wrong with %j', async (body, param, code) => {
    const answer = await send('POST', '/admin/session', {}, body);
    expect(answer).toMatchObject({ status: 400, json: { error: { param, code } } });
  });

  it('is refused to the pages of others, however they ask', async () => {
    for (const headers of [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: 'http://localhost:1' },
    ])
      expect(outcome(await signIn(OPERATOR_KEY, headers as Record<string, string>))).toEqual([
        403,
        'cross_origin_refused',
      ]);
    for (const headers of [{ 'sec-fetch-site': 'same-origin' }, { origin: 'http://localhost' }])
      expect((await signIn(OPERATOR_KEY, headers as Record<string, string>)).status).toBe(200);
  });

  it('is refused after ten keys that are none, and counts those that are for nothing', async () => {
    const app = await openApp();
    try {
      for (let i = 0; i < 15; i++) expect((await signIn(OPERATOR_KEY, {}, app.app)).status).toBe(200);
      for (let i = 0; i < 10; i++) expect((await signIn(`wrong-${i}`, {}, app.app)).status).toBe(401);
      const answer = await signIn(OPERATOR_KEY, {}, app.app);
      expect(outcome(answer)).toEqual([429, 'too_many_attempts']);
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(200);
      // Keys that are sent with each request are looked at all the same.
      expect((await app.ask(OPERATOR_KEY, 'GET', '/admin/v1/tenants')).status).toBe(200);
    } finally {
      await app.close();
    }
  });
});

describe('a session', () => {
  it('stands for its key on every route, also those of clients', async () => {
    const operator = await session(OPERATOR_KEY);
    const admin = await session(adminKey.key);
    expect((await send('GET', '/admin/v1/tenants', operator)).json.data.length).toBeGreaterThan(1);
    expect(outcome(await send('GET', '/admin/v1/tenants', admin))).toEqual([403, 'insufficient_permissions']);
    expect((await send('GET', '/admin/v1/tenants/acme', admin)).status).toBe(200);
    expect(outcome(await send('GET', '/admin/v1/tenants/other', admin))).toEqual([404, 'tenant_not_found']);
    expect((await send('GET', '/v1/files', admin)).status).toBe(200);
    expect((await send('GET', '/admin/session', admin)).json).toMatchObject({
      tenant: 'acme',
      csrf: admin.csrf,
    });
  });

  it('changes something with its token only, and for a page of this server', async () => {
    const { cookie, csrf } = await session(adminKey.key);
    const token = { cookie, 'x-csrf-token': csrf };
    const make = (headers: Record<string, string>) =>
      send('POST', '/admin/v1/keys', headers, { alias: 'made by a session' });
    for (const wrong of [{ cookie }, { cookie, 'x-csrf-token': '' }, { cookie, 'x-csrf-token': `${csrf}x` }])
      expect(outcome(await make(wrong as Record<string, string>))).toEqual([403, 'csrf_token_required']);
    const other = await session(adminKey.key);
    expect(outcome(await make({ cookie, 'x-csrf-token': other.csrf }))).toEqual([403, 'csrf_token_required']);
    for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS'])
      expect((await send(method, '/admin/v1/keys/x', { cookie })).status).toBe(403);
    for (const headers of [{ 'sec-fetch-site': 'same-site' }, { origin: 'https://evil.example' }])
      expect(outcome(await make({ ...token, ...headers } as Record<string, string>))).toEqual([
        403,
        'cross_origin_refused',
      ]);
    const made = await make(token);
    expect(made).toMatchObject({ status: 201, json: { tenant: 'acme', created_by: `acme/${adminKey.id}` } });
    expect((await send('DELETE', `/admin/v1/keys/${made.json.id}`, token)).status).toBe(200);
  });

  it('gives way to a key that is sent with the request, whatever key that is', async () => {
    const { cookie } = await session(OPERATOR_KEY);
    const asked = (key: string) =>
      send('GET', '/admin/v1/tenants', { cookie, authorization: `Bearer ${key}` });
    expect(outcome(await asked(adminKey.key))).toEqual([403, 'insufficient_permissions']);
    expect(outcome(await asked('wrong'))).toEqual([401, 'invalid_api_key']);
    const headers = { cookie, authorization: `Bearer ${OPERATOR_KEY}` };
    expect((await send('POST', '/admin/v1/tenants', headers, { id: 'by-key' })).status).toBe(201);
  });

  it('is not taken for a key where a proxy before the server asks for a password of its own', async () => {
    const { cookie, csrf } = await session(adminKey.key);
    const basic = `Basic ${Buffer.from('somebody:password').toString('base64')}`;
    for (const authorization of [basic, 'Negotiate abc', '']) {
      const headers = { cookie, authorization };
      expect((await send('GET', '/admin/v1/tenants/acme', headers)).status).toBe(200);
      expect((await send('GET', '/admin/session', headers)).json).toMatchObject({ csrf });
      expect(outcome(await send('POST', '/admin/v1/keys', headers, {}))).toEqual([
        403,
        'csrf_token_required',
      ]);
      const token = { ...headers, 'x-csrf-token': csrf };
      expect((await send('POST', '/admin/v1/keys', token, { alias: 'behind a proxy' })).status).toBe(201);
    }
    expect(outcome(await send('GET', '/admin/v1/tenants/acme', { authorization: basic }))).toEqual([
      401,
      'invalid_api_key',
    ]);
    // What somebody takes for a key is one, and no session helps it.
    for (const wrong of ['Bearer wrong', 'bearer wrong', 'Bearer', `Bearer ${adminKey.key} x`])
      expect(outcome(await send('GET', '/admin/v1/tenants/acme', { cookie, authorization: wrong }))).toEqual([
        401,
        'invalid_api_key',
      ]);
  });

  it('holds at another server of the same database and secret, and at none with another secret', async () => {
    const { cookie, csrf } = await session(adminKey.key);
    expect((await send('GET', '/admin/session', { cookie }, undefined, second.app)).json).toMatchObject({
      csrf,
    });
    const stranger = await openApp({ secret: Buffer.alloc(32, 1) });
    try {
      const { cookie: foreign } = await session(OPERATOR_KEY, stranger.app);
      expect(outcome(await send('GET', '/admin/session', { cookie: foreign }))).toEqual([
        401,
        'session_required',
      ]);
    } finally {
      await stranger.close();
    }
  });

  it('ends where somebody signs out', async () => {
    const { cookie } = await session(OPERATOR_KEY);
    const answer = await send('DELETE', '/admin/session', { cookie });
    expect([answer.status, answer.headers.get('set-cookie')]).toEqual([
      204,
      `${COOKIE}=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict`,
    ]);
    expect((await send('DELETE', '/admin/session')).status).toBe(204);
    expect(
      outcome(await send('DELETE', '/admin/session', { cookie, origin: 'https://evil.example' })),
    ).toEqual([403, 'cross_origin_refused']);
  });

  it.each([
    ['blocked', (id: string) => ['POST', `/admin/v1/keys/${id}/block`, undefined] as const],
    ['removed', (id: string) => ['DELETE', `/admin/v1/keys/${id}`, undefined] as const],
    ["made a user's", (id: string) => ['PATCH', `/admin/v1/keys/${id}`, { role: 'user' }] as const],
    ['rotated', (id: string) => ['POST', `/admin/v1/keys/${id}/rotate`, { overlap_seconds: 0 }] as const],
  ] as const)('ends with its key, at all servers: %s', async (_, change) => {
    const { id, key } = await newKey('admin');
    const { cookie } = await session(key);
    expect((await send('GET', '/admin/v1/keys', { cookie }, undefined, second.app)).status).toBe(200);
    const [method, path, body] = change(id);
    expect((await gateway.ask(OPERATOR_KEY, method, path, body)).status).toBe(200);
    for (const { app } of [gateway, second]) {
      // The other one follows within a second.
      await expect
        .poll(async () => outcome(await send('GET', '/admin/v1/keys', { cookie }, undefined, app)))
        .toEqual([401, 'session_required']);
      expect(outcome(await send('GET', '/v1/models', { cookie }, undefined, app))).toEqual([
        401,
        'session_required',
      ]);
      expect(outcome(await send('GET', '/admin/session', { cookie }, undefined, app))).toEqual([
        401,
        'session_required',
      ]);
    }
  });

  it('ends after twelve hours, used or not', async () => {
    const { cookie } = await session(OPERATOR_KEY);
    hours += 11.99;
    expect((await send('GET', '/admin/v1/tenants', { cookie })).status).toBe(200);
    hours += 0.02;
    expect(outcome(await send('GET', '/admin/v1/tenants', { cookie }))).toEqual([401, 'session_required']);
    expect((await send('GET', '/admin/v1/tenants', await session(OPERATOR_KEY))).status).toBe(200);
  });

  it("of the configuration's operator key ends when that is another", async () => {
    const databaseFile = join(folder, 'operator.db');
    const before = await openApp({ databaseFile });
    const { cookie } = await session(OPERATOR_KEY, before.app);
    expect((await send('GET', '/admin/v1/tenants', { cookie }, undefined, before.app)).status).toBe(200);
    await before.close();
    const after = await openApp({ databaseFile, operatorKey: `${OPERATOR_KEY}-rotated` });
    try {
      expect(outcome(await send('GET', '/admin/v1/tenants', { cookie }, undefined, after.app))).toEqual([
        401,
        'session_required',
      ]);
    } finally {
      await after.close();
    }
  });

  it('is none where its cookie was altered, or is anything else', async () => {
    const { cookie } = await session(OPERATOR_KEY);
    const text = cookie.slice(COOKIE.length + 1);
    const [head = '', key = '', iv = '', body = '', tag = ''] = text.split('.');
    const json = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const flipped = (part: string) => `${part[0] === 'A' ? 'B' : 'A'}${part.slice(1)}`;
    for (const wrong of [
      '',
      'x',
      '....',
      text.slice(0, -2),
      `${text}x`,
      [flipped(head), key, iv, body, tag].join('.'),
      [head, key, flipped(iv), body, tag].join('.'),
      [head, key, iv, flipped(body), tag].join('.'),
      [head, key, iv, body, flipped(tag)].join('.'),
      [head, key, iv, body, tag.slice(0, 4)].join('.'),
      [json({ alg: 'none' }), key, iv, body, tag].join('.'),
      [json({ alg: 'dir', enc: 'A128CBC-HS256' }), key, iv, body, tag].join('.'),
      [json({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' }), key, iv, body, tag].join('.'),
      `${json({ alg: 'none' })}.${json({ sub: 'operator', csrf: 'x', exp: 9e9 })}.`,
      OPERATOR_KEY,
      'A'.repeat(10_000),
    ])
      for (const path of ['/admin/v1/tenants', '/admin/session', '/v1/models'])
        expect([path, wrong, ...outcome(await send('GET', path, { cookie: `${COOKIE}=${wrong}` }))]).toEqual([
          path,
          wrong,
          401,
          'session_required',
        ]);
  });
});
