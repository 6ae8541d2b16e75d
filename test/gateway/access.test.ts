/** Who may do what, on every route there is. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { verifyAudit } from '@polylora/adapters-store';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adapterForm } from '../support/adapter-form.ts';
import { openApp, type TestApp } from '../support/app.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { MODEL } from '../support/store-model.ts';

let gateway: TestApp;
/** Keys of two tenants' administrators and users. */
const keys: Record<'acmeAdmin' | 'acmeUser' | 'otherAdmin' | 'otherUser', string> = {
  acmeAdmin: '',
  acmeUser: '',
  otherAdmin: '',
  otherUser: '',
};
let acmeKeyId = '';

async function newKey(tenant: string, role: string): Promise<{ id: string; key: string }> {
  const { status, json } = await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/keys', { tenant, role });
  expect(status).toBe(201);
  return json;
}

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-access-'));
  await writeRandomAdapter(folder, MODEL, { rank: 2, seed: 5 });
  gateway = await openApp();
  for (const id of ['acme', 'other']) {
    expect((await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/tenants', { id })).status).toBe(201);
  }
  keys.acmeAdmin = (await newKey('acme', 'admin')).key;
  keys.otherAdmin = (await newKey('other', 'admin')).key;
  keys.otherUser = (await newKey('other', 'user')).key;
  const user = await newKey('acme', 'user');
  keys.acmeUser = user.key;
  acmeKeyId = user.id;
});
afterAll(async () => {
  await gateway.close();
  await rm(folder, { recursive: true });
});

const WRONG_KEYS = [
  '',
  'plk_',
  `plk_${'A'.repeat(43)}`,
  "' OR '1'='1",
  'plk_"; drop table api_key; --',
  'x'.repeat(5_000),
];

/** All that anybody may ask for: health, and what every server of this version says of its routes. */
const PUBLIC: ReadonlySet<string> = new Set([
  ...['/healthz', '/readyz', '/openapi.json', '/docs'],
  ...['/docs/start.js', '/docs/swagger-ui.css', '/docs/swagger-ui-bundle.js'],
]);

/** The dashboard's files, for reading: they tell nothing of this server. Its session has its own tests. */
const PAGES: ReadonlySet<string> = new Set(['/admin', '/admin/', '/admin/x', '/admin/y', '/admin/assets/x']);
const SESSION = '/admin/session';
const SESSION_METHODS = ['GET', 'HEAD', 'POST', 'DELETE'];

function isOpen(method: string, path: string): boolean {
  if (path === SESSION) return SESSION_METHODS.includes(method);
  return PAGES.has(path) && ['GET', 'HEAD'].includes(method);
}

describe('without a key that holds', () => {
  it('every route there is answers the same 401, and so does every path that is none', async () => {
    const paths = new Set(
      gateway.app.routes.map(({ path }) => path.replaceAll(/:(\w+)(\{[^}]*\})?/g, 'x').replaceAll('*', 'y')),
    );
    expect(paths.size).toBeGreaterThan(40);
    for (const odd of [
      '/',
      '//admin',
      '//admin/v1/keys',
      '/admin%2Fv1',
      '/ADMIN/v1/keys',
      '/%61dmin/v1/keys',
      '/admin/v1/keys/',
      '/V1/models',
      '//healthz',
      '/healthz/',
      '/healthz/..%2fv1/models',
      '/v1/../admin/v1/keys',
      '/metrics%00',
      '/openapi.json/',
      '/docs/',
      '/docs/x',
      '/docs/..%2f..%2fetc/passwd',
      '//admin/',
      '/admin//',
      '/Admin',
      '/admin%2F',
      '/admin%2Fadapters',
      '/admin;/adapters',
      '/admin/%2e%2e%2fv1/models',
      '/admin/..%2fv1/models',
      '/admin/adapters//v1',
      '/admin/adapters/..%00',
      '/admin/v1',
      '/admin/v1/',
      '/admin/V1/keys',
      '/admin/v2/keys',
      '/admin/v1%2Fkeys',
      '/admin/session/',
      '/admin/session/x',
      '/admin/Session',
      '/admin/assets',
      '/admin/assets/',
      '/admin/assets/..%2f..%2fpackage.json',
      '/admin/assets/x/y',
      '/admin/assets/.env',
    ])
      paths.add(odd);
    for (const path of paths) {
      if (PUBLIC.has(path)) continue;
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD']) {
        if (isOpen(method, path)) continue;
        const { status, json, headers } = await gateway.ask(null, method, path);
        expect([status, method, path]).toEqual([401, method, path]);
        expect(headers.get('www-authenticate')).toBe('Bearer');
        if (method !== 'HEAD') expect(json.error.code).toBe('invalid_api_key');
      }
    }
  });

  it('no wrong value of one makes another answer than another', async () => {
    const { text } = await gateway.ask(null, 'GET', '/v1/models');
    for (const wrong of WRONG_KEYS) {
      const answer = await gateway.ask(wrong, 'GET', '/v1/models');
      expect([answer.status, answer.text]).toEqual([401, text]);
    }
    for (const authorization of [
      'Basic abc',
      'Bearer',
      `bearer\t${keys.acmeUser}`,
      `Token ${keys.acmeUser}`,
      `Bearer ${keys.acmeUser} x`,
    ]) {
      const answer = await gateway.app.request('/v1/models', { headers: { authorization } });
      expect([answer.status, await answer.text()]).toEqual([401, text]);
    }
    // Other ways to hand a key over are none.
    for (const headers of [{ 'x-api-key': keys.acmeUser }, { cookie: `key=${keys.acmeUser}` }]) {
      expect((await gateway.app.request(`/v1/models?api_key=${keys.acmeUser}`, { headers })).status).toBe(
        401,
      );
    }
  });

  it('the odd host or forwarded path of a request makes no difference', async () => {
    for (const headers of [
      { host: 'localhost' },
      { host: '127.0.0.1:1', 'x-forwarded-for': '127.0.0.1' },
      { 'x-original-url': '/healthz', 'x-rewrite-url': '/healthz', 'x-forwarded-prefix': '/healthz' },
      { 'x-http-method-override': 'GET' },
    ])
      expect(
        (await gateway.app.request('/admin/v1/keys', { headers: headers as Record<string, string> })).status,
      ).toBe(401);
  });
});

describe("a user's key", () => {
  it('opens no route of administrators', async () => {
    const admin = gateway.app.routes.filter(({ path }) => /^\/(admin|key)\//.test(path));
    expect(admin.length).toBeGreaterThan(30);
    for (const { method, path } of admin) {
      if (path === '/key/info' || path === SESSION) continue;
      const real = path.replaceAll(/:(\w+)(\{[^}]*\})?/g, 'x').replaceAll('*', 'y');
      if (isOpen(method === 'ALL' ? 'GET' : method, real)) continue;
      const answer = await gateway.ask(keys.acmeUser, method === 'ALL' ? 'GET' : method, real);
      expect([answer.status, answer.json.error.code, real]).toEqual([403, 'insufficient_permissions', real]);
    }
    for (const path of ['/metrics', '/v1/load_lora_adapter', '/v1/unload_lora_adapter'])
      expect(
        (await gateway.ask(keys.acmeUser, path === '/metrics' ? 'GET' : 'POST', path, undefined)).status,
      ).toBe(403);
  });
});

describe("a tenant's administrator", () => {
  it('makes, sees, changes and removes keys of the tenant, and of no other', async () => {
    const { acmeAdmin } = keys;
    const made = await gateway.ask(acmeAdmin, 'POST', '/admin/v1/keys', {
      alias: 'ci',
      models: ['base'],
      limits: { requests_per_minute: 5 },
    });
    expect(made).toMatchObject({
      status: 201,
      json: { tenant: 'acme', role: 'user', alias: 'ci', key: expect.stringMatching(/^plk_/) },
    });
    const path = `/admin/v1/keys/${made.json.id}`;
    const changed = await gateway.ask(acmeAdmin, 'PATCH', path, { limits: { tokens_per_minute: 9 } });
    expect(changed.json).toMatchObject({
      limits: { requests_per_minute: 5, tokens_per_minute: 9 },
      models: ['base'],
    });
    expect(changed.json.key).toBeUndefined();
    const rotated = await gateway.ask(acmeAdmin, 'POST', `${path}/rotate`, { overlap_seconds: 0 });
    expect(rotated.json.key).not.toBe(made.json.key);
    expect((await gateway.ask(made.json.key, 'GET', '/v1/models')).status).toBe(401);
    expect((await gateway.ask(rotated.json.key, 'GET', '/v1/models')).status).toBe(200);
    expect((await gateway.ask(acmeAdmin, 'POST', `${path}/block`)).json.blocked).toBe(true);
    expect((await gateway.ask(rotated.json.key, 'GET', '/v1/models')).status).toBe(401);
    expect((await gateway.ask(acmeAdmin, 'POST', `${path}/unblock`)).json.blocked).toBe(false);
    expect((await gateway.ask(rotated.json.key, 'GET', '/v1/models')).status).toBe(200);
    const listed = await gateway.ask(acmeAdmin, 'GET', '/admin/v1/keys?limit=2');
    expect(listed.json).toMatchObject({ has_more: true, data: [{ tenant: 'acme' }, { tenant: 'acme' }] });
    expect(
      (await gateway.ask(acmeAdmin, 'GET', `/admin/v1/keys?after=${listed.json.last_id}`)).json.data,
    ).toHaveLength(1);
    expect((await gateway.ask(acmeAdmin, 'DELETE', path)).json.deleted).toBe(true);
    expect((await gateway.ask(rotated.json.key, 'GET', '/v1/models')).status).toBe(401);
  });

  it('is no operator, and makes none', async () => {
    const { acmeAdmin } = keys;
    for (const [method, path, body] of [
      ['POST', '/admin/v1/tenants', { id: 'new' }],
      ['GET', '/admin/v1/tenants', undefined],
      ['PATCH', '/admin/v1/tenants/acme', { limits: null }],
      ['DELETE', '/admin/v1/tenants/acme', undefined],
      ['GET', '/admin/v1/prices', undefined],
      ['GET', '/admin/v1/audit', undefined],
      ['GET', '/admin/v1/audit/verify', undefined],
      ['GET', '/admin/v1/audit?tenant=acme', undefined],
      ['GET', '/admin/v1/pool', undefined],
      ['GET', '/admin/v1/backends', undefined],
      ['PUT', '/admin/v1/prices/base', { input: 1, output: 1 }],
      ['PUT', '/admin/v1/sources/hub/token', { token: 'hf_x' }],
      ['POST', '/admin/v1/adapters/imports', { source: 's3://b/p', name: 'acme/x' }],
      ['GET', '/admin/v1/adapters/imports', undefined],
      ['GET', '/metrics', undefined],
      ['POST', '/v1/load_lora_adapter', { lora_name: 'x', lora_path: 'y' }],
      ['GET', '/admin/v1/adapters?tenant=other', undefined],
    ] as const) {
      const answer = await gateway.ask(acmeAdmin, method, path, body);
      expect([answer.status, answer.json.error.code, path]).toEqual([403, 'insufficient_permissions', path]);
    }
    const operator = await gateway.ask(acmeAdmin, 'POST', '/admin/v1/keys', { role: 'operator' });
    expect(operator).toMatchObject({ status: 400, json: { error: { param: 'role' } } });
    const raised = await gateway.ask(acmeAdmin, 'PATCH', `/admin/v1/keys/${acmeKeyId}`, { role: 'operator' });
    expect(raised.status).toBe(400);
    expect((await gateway.ask(acmeAdmin, 'GET', '/admin/v1/tenants/acme')).json).toMatchObject({
      id: 'acme',
    });
  });

  it("pushes and manages the tenant's own adapters, which another tenant does not even see", async () => {
    const { acmeAdmin, otherAdmin } = keys;
    expect(
      (await gateway.ask(acmeAdmin, 'POST', '/admin/v1/adapters', await adapterForm('acme/own', folder)))
        .status,
    ).toBe(201);
    const foreign = await gateway.ask(
      acmeAdmin,
      'POST',
      '/admin/v1/adapters',
      await adapterForm('other/own', folder),
    );
    expect([foreign.status, foreign.json.error.param]).toEqual([403, 'name']);
    expect((await gateway.ask(acmeAdmin, 'GET', '/admin/v1/adapters')).json.data).toHaveLength(1);
    expect((await gateway.ask(otherAdmin, 'GET', '/admin/v1/adapters')).json.data).toHaveLength(0);
    expect((await gateway.ask(acmeAdmin, 'GET', '/admin/v1/adapters/acme%2Fown/export')).status).toBe(200);
    expect(
      (await gateway.ask(acmeAdmin, 'PUT', '/admin/v1/adapters/acme%2Fown/tags/stable', { version: 'v1' }))
        .status,
    ).toBe(200);
    const grant = await gateway.ask(acmeAdmin, 'PUT', '/admin/v1/adapters/acme%2Fown/grants', {
      tenant: '*',
    });
    expect(grant.status).toBe(403);
    // The operator sees a tenant's as that tenant, and is named in the log.
    const seen = await gateway.ask(OPERATOR_KEY, 'GET', '/admin/v1/adapters/acme%2Fown?tenant=acme');
    expect(seen.json).toMatchObject({ owner: 'acme', tags: { stable: expect.any(String) } });
    const granted = await gateway.ask(
      OPERATOR_KEY,
      'PUT',
      '/admin/v1/adapters/acme%2Fown/grants?tenant=acme',
      { tenant: 'other' },
    );
    expect(granted.status).toBe(200);
    // To use it is not to have its weights, nor to see who else uses it.
    expect((await gateway.ask(otherAdmin, 'GET', '/admin/v1/adapters/acme%2Fown')).json.grants).toEqual([]);
    expect((await gateway.ask(otherAdmin, 'GET', '/admin/v1/adapters/acme%2Fown/export')).status).toBe(404);
    await gateway.ask(OPERATOR_KEY, 'DELETE', '/admin/v1/adapters/acme%2Fown/grants?tenant=acme', {
      tenant: 'other',
    });
  });
});

describe("another tenant's ids", () => {
  it('are on every route as ids that do not exist', async () => {
    const form = new FormData();
    form.set('purpose', 'batch');
    form.set(
      'file',
      new Blob([
        '{"custom_id":"1","method":"POST","url":"/v1/completions","body":{"model":"base","prompt":"x"}}\n',
      ]),
      'in.jsonl',
    );
    const file = await gateway.ask(keys.acmeUser, 'POST', '/v1/files', form);
    expect(file.status).toBe(200);
    const batch = await gateway.ask(keys.acmeUser, 'POST', '/v1/batches', {
      input_file_id: file.json.id,
      endpoint: '/v1/completions',
      completion_window: '24h',
    });
    expect(batch.status).toBe(200);
    const upload = await gateway.ask(keys.acmeAdmin, 'POST', '/admin/v1/adapters/uploads', {
      name: 'acme/up',
      config: await readFile(join(folder, 'adapter_config.json'), 'utf8'),
      bytes: 100,
    });
    expect(upload.status).toBe(201);
    const there = {
      file: [file.json.id, 'file-none'],
      batch: [batch.json.id, 'batch_none'],
      key: [acmeKeyId, 'key_0000000000000000'],
      tenant: ['acme', 'nobody'],
      upload: [upload.json.id, '00000000-0000-0000-0000-000000000000'],
      adapter: ['acme%2Fown', 'acme%2Fnone'],
    } as const;
    const asked: [
      kind: keyof typeof there,
      key: string,
      method: string,
      path: (id: string) => string,
      body?: unknown,
    ][] = [
      ['file', keys.otherUser, 'GET', (id) => `/v1/files/${id}`],
      ['file', keys.otherUser, 'GET', (id) => `/v1/files/${id}/content`],
      ['file', keys.otherUser, 'DELETE', (id) => `/v1/files/${id}`],
      ['batch', keys.otherUser, 'GET', (id) => `/v1/batches/${id}`],
      ['batch', keys.otherUser, 'POST', (id) => `/v1/batches/${id}/cancel`],
      ['key', keys.otherAdmin, 'GET', (id) => `/admin/v1/keys/${id}`],
      ['key', keys.otherAdmin, 'PATCH', (id) => `/admin/v1/keys/${id}`, { blocked: true }],
      ['key', keys.otherAdmin, 'DELETE', (id) => `/admin/v1/keys/${id}`],
      ['key', keys.otherAdmin, 'POST', (id) => `/admin/v1/keys/${id}/rotate`],
      ['key', keys.otherAdmin, 'POST', (id) => `/admin/v1/keys/${id}/block`],
      ['key', keys.otherAdmin, 'POST', (id) => `/admin/v1/keys/${id}/unblock`],
      ['key', keys.otherAdmin, 'GET', (id) => `/admin/v1/keys/${id}/spend`],
      ['key', keys.otherAdmin, 'GET', (id) => `/key/info?key=${id}`],
      ['key', keys.otherAdmin, 'POST', (id) => `/key/${id}/regenerate`],
      ['tenant', keys.otherAdmin, 'GET', (id) => `/admin/v1/tenants/${id}`],
      ['tenant', keys.otherAdmin, 'GET', (id) => `/admin/v1/tenants/${id}/spend`],
      ['tenant', keys.otherAdmin, 'GET', (id) => `/admin/v1/keys?tenant=${id}`],
      ['upload', keys.otherAdmin, 'GET', (id) => `/admin/v1/adapters/uploads/${id}`],
      ['upload', keys.otherAdmin, 'POST', (id) => `/admin/v1/adapters/uploads/${id}/complete`],
      ['upload', keys.otherAdmin, 'DELETE', (id) => `/admin/v1/adapters/uploads/${id}`],
      ['adapter', keys.otherAdmin, 'GET', (id) => `/admin/v1/adapters/${id}`],
      ['adapter', keys.otherAdmin, 'DELETE', (id) => `/admin/v1/adapters/${id}`],
      ['adapter', keys.otherAdmin, 'GET', (id) => `/admin/v1/adapters/${id}/export`],
      ['adapter', keys.otherAdmin, 'PUT', (id) => `/admin/v1/adapters/${id}/tags/x`, { version: 'v1' }],
      ['adapter', keys.otherAdmin, 'DELETE', (id) => `/admin/v1/adapters/${id}/tags/x`],
      ['adapter', keys.otherAdmin, 'PUT', (id) => `/admin/v1/adapters/${id}/pins/${'0'.repeat(64)}`],
      ['adapter', keys.otherAdmin, 'DELETE', (id) => `/admin/v1/adapters/${id}/pins/${'0'.repeat(64)}`],
      ['adapter', keys.otherUser, 'GET', (id) => `/v1/models/${id}`],
    ];
    const operators: typeof asked = [
      ['adapter', keys.otherAdmin, 'PUT', (id) => `/admin/v1/adapters/${id}/grants`, { tenants: ['other'] }],
      [
        'adapter',
        keys.otherAdmin,
        'DELETE',
        (id) => `/admin/v1/adapters/${id}/grants`,
        { tenants: ['acme'] },
      ],
      ['adapter', keys.otherAdmin, 'PUT', (id) => `/admin/v1/adapters/${id}/pin`],
      ['adapter', keys.otherAdmin, 'DELETE', (id) => `/admin/v1/adapters/${id}/pin`],
      ['adapter', keys.otherAdmin, 'PUT', (id) => `/admin/v1/prices/${id}`, { input: 1, output: 1 }],
      ['adapter', keys.otherAdmin, 'DELETE', (id) => `/admin/v1/prices/${id}`],
      ['tenant', keys.otherAdmin, 'PUT', (id) => `/admin/v1/cache/categories/${id}`, { enabled: false }],
      ['tenant', keys.otherAdmin, 'DELETE', (id) => `/admin/v1/cache/categories/${id}`],
      ['tenant', keys.otherAdmin, 'PATCH', (id) => `/admin/v1/tenants/${id}`, { weight: 2 }],
      ['tenant', keys.otherAdmin, 'DELETE', (id) => `/admin/v1/tenants/${id}`],
      ['upload', keys.otherAdmin, 'GET', (id) => `/admin/v1/adapters/imports/${id}`],
      ['upload', keys.otherAdmin, 'DELETE', (id) => `/admin/v1/adapters/imports/${id}`],
    ];
    for (const [kind, key, method, path, body] of operators) {
      const texts: string[] = [];
      for (const id of there[kind]) {
        const answer = await gateway.ask(key, method, path(id), body);
        expect([answer.status, path(id)]).toEqual([403, path(id)]);
        texts.push(answer.text);
      }
      expect(texts[0]).toBe(texts[1]);
    }
    // Every route with an id in it is here, or where it says.
    const elsewhere = [
      ...['/v1/responses/', '/docs/:file', '/admin/v1/adapters/uploads/:id'],
      // `dashboard.test.ts`: of this server they tell nothing.
      ...['/admin/:page', '/admin/assets/:file'],
      // `cache-admin.test.ts`
      ...['/v1/cache/entries/', '/admin/v1/cache/entries/'],
      // Categories are all tenants' (`cache-review.test.ts`).
      '/admin/v1/cache/categories/:name/preview',
    ];
    const isAsked = ({ method, path }: { method: string; path: string }) => {
      const pattern = new RegExp(`^${path.replaceAll(/:\w+(\{.+?\})?/g, '[^/]+')}$`);
      return [...asked, ...operators].some(
        ([, , sent, pathOf]) => sent === method && pattern.test(pathOf('ID')),
      );
    };
    const routes = gateway.app.routes.filter(({ method, path }) => method !== 'ALL' && path.includes(':'));
    const missed = routes.filter(
      (route) => !isAsked(route) && !elsewhere.some((path) => route.path.startsWith(path)),
    );
    expect(missed.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
    for (const [kind, key, method, path, body] of asked) {
      const [real, none] = there[kind];
      const [a, b] = [
        await gateway.ask(key, method, path(real), body),
        await gateway.ask(key, method, path(none), body),
      ];
      const told = (text: string, id: string) =>
        text.replaceAll(decodeURIComponent(id), 'ID').replaceAll(id, 'ID');
      expect([a.status, told(a.text, real), path(real)]).toEqual([404, told(b.text, none), path(real)]);
      expect(b.status).toBe(404);
    }
    for (const [route, body] of [
      ['/key/update', { key: acmeKeyId, blocked: true }],
      ['/key/block', { key: acmeKeyId }],
      ['/key/delete', { keys: [acmeKeyId] }],
      ['/key/regenerate', { key: acmeKeyId }],
      ['/key/block', { key: keys.acmeUser }],
    ] as const)
      expect((await gateway.ask(keys.otherAdmin, 'POST', route, body)).status).toBe(404);
    const batchOfOther = {
      input_file_id: file.json.id,
      endpoint: '/v1/completions',
      completion_window: '24h',
    };
    expect((await gateway.ask(keys.otherUser, 'POST', '/v1/batches', batchOfOther)).status).toBe(404);
    // All is as it was.
    expect((await gateway.ask(keys.acmeUser, 'GET', `/v1/files/${file.json.id}`)).status).toBe(200);
    await gateway.ask(keys.acmeUser, 'POST', `/v1/batches/${batch.json.id}/cancel`);
  });
});

describe('pages of other origins', () => {
  const ORIGIN = 'https://app.example';
  const asking = {
    origin: ORIGIN,
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization,content-type',
  };

  it('are told nothing unless they are allowed', async () => {
    const preflight = await gateway.app.request('/v1/chat/completions', {
      method: 'OPTIONS',
      headers: asking,
    });
    expect(preflight.status).toBe(401);
    const answer = await gateway.app.request('/v1/models', {
      headers: { origin: ORIGIN, authorization: `Bearer ${keys.acmeUser}` },
    });
    expect(answer.status).toBe(200);
    for (const { headers } of [preflight, answer])
      expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  it('may ask where the operator allows them, and need a key all the same', async () => {
    const open = await openApp({ corsOrigins: [ORIGIN] });
    try {
      const preflight = await open.app.request('/v1/models', { method: 'OPTIONS', headers: asking });
      expect(preflight.status).toBe(204);
      expect(preflight.headers.get('access-control-allow-origin')).toBe(ORIGIN);
      expect(preflight.headers.get('access-control-allow-headers')).toContain('authorization');
      const refused = await open.app.request('/v1/models', { headers: { origin: ORIGIN } });
      expect(refused.status).toBe(401);
      expect(refused.headers.get('access-control-allow-origin')).toBe(ORIGIN);
      const other = await open.app.request('/v1/models', { headers: { origin: 'https://evil.example' } });
      expect(other.headers.get('access-control-allow-origin')).toBeNull();
    } finally {
      await open.close();
    }
  });
});

describe('SQL in any value', () => {
  const SQL = [
    "' OR '1'='1",
    "'; DROP TABLE api_key; --",
    '" OR 1=1 --',
    "1' UNION SELECT hash FROM api_key_secret --",
    '%27%20OR%201=1',
    'a\0b',
  ];
  it('is a value like any other', async () => {
    for (const text of SQL) {
      const id = encodeURIComponent(text);
      for (const [method, path, body, status] of [
        ['GET', `/admin/v1/keys/${id}`, undefined, 404],
        ['DELETE', `/admin/v1/keys/${id}`, undefined, 404],
        ['GET', `/admin/v1/tenants/${id}`, undefined, 404],
        ['GET', `/admin/v1/keys?tenant=${id}&after=${id}`, undefined, 200],
        ['GET', `/admin/v1/keys?limit=${id}`, undefined, 400],
        ['GET', `/admin/v1/tenants/acme/spend?from=${id}`, undefined, 400],
        ['GET', `/admin/v1/tenants/acme/spend?by=${id}`, undefined, 400],
        ['POST', '/admin/v1/tenants', { id: text }, 400],
        ['POST', '/admin/v1/keys', { tenant: text }, 404],
        ['POST', '/key/block', { key: text }, 404],
        ['GET', `/admin/v1/adapters/${id}`, undefined, 404],
        ['DELETE', `/admin/v1/prices/${id}`, undefined, 404],
        ['GET', `/v1/files/${id}`, undefined, 404],
        ['GET', `/v1/batches/${id}`, undefined, 404],
      ] as const) {
        const answer = await gateway.ask(OPERATOR_KEY, method, path, body);
        expect([answer.status, path, text]).toEqual([status, path, text]);
      }
      const inHeader = text.replaceAll('\0', '');
      const response = await gateway.app.request('/v1/models', {
        headers: {
          authorization: `Bearer ${OPERATOR_KEY}`,
          'x-request-id': inHeader,
          'user-agent': inHeader,
        },
      });
      expect(response.status).toBe(200);
      const made = await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/keys', {
        tenant: 'acme',
        alias: text,
        metadata: { [text.slice(0, 60)]: text },
        models: [text],
      });
      expect(made).toMatchObject({ status: 201, json: { alias: text, models: [text] } });
      expect((await gateway.ask(OPERATOR_KEY, 'DELETE', `/admin/v1/keys/${made.json.id}`)).status).toBe(200);
    }
    expect((await gateway.ask(keys.acmeUser, 'GET', '/v1/models')).status).toBe(200);
  });
});

it('every administrative act is in one chained log, and no secret is', async () => {
  expect(await verifyAudit(gateway.database)).toMatchObject({ brokenAt: null });
  const log = await gateway.database.selectFrom('audit').selectAll().execute();
  const actions = new Set(log.map(({ action }) => action));
  for (const action of [
    'tenant.create',
    'key.create',
    'key.update',
    'key.rotate',
    'key.remove',
    'adapter.push',
    'adapter.tag',
    'adapter.grant',
    'adapter.revoke',
  ])
    expect(actions, action).toContain(action);
  const byAdmin = log.filter(({ actor }) => /^acme\/key_/.test(actor));
  expect(byAdmin.length).toBeGreaterThan(3);
  expect(JSON.stringify(log)).not.toMatch(/plk_[\w-]{10}/);
});
