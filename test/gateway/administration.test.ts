/** What administrators are told: of what is gone, of what is misspelt, and of what they may ask for instead. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openApp, type TestApp } from '../support/app.ts';
import { until } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

let gateway: TestApp;
/** An administrator's key of the tenant `acme`. */
let admin = '';

const ask = (method: string, path: string, body?: unknown) =>
  gateway.ask(OPERATOR_KEY, method, `/admin/v1/${path}`, body);

beforeAll(async () => {
  gateway = await openApp();
  for (const id of ['acme', 'gone']) expect((await ask('POST', 'tenants', { id })).status).toBe(201);
  admin = (await ask('POST', 'keys', { tenant: 'acme', role: 'admin' })).json.key;
});
afterAll(() => gateway.close());

describe('what a removed tenant has spent', () => {
  it("is an operator's to read, and nobody else's", async () => {
    const used = { promptTokens: 3, cachedPromptTokens: 0, completionTokens: 4 };
    gateway.tenants.spend.add({ day: '2026-11-22', tenant: 'gone', key: '', model: 'base' }, used, 5e9);
    const spend = () => ask('GET', 'tenants/gone/spend');
    await until(async () => (await spend()).json.data.length === 1);
    expect((await ask('DELETE', 'tenants/gone')).status).toBe(200);
    expect(await spend()).toMatchObject({ status: 200, json: { data: [{ requests: 1, money: 5 }] } });
    expect((await ask('GET', 'tenants/gone')).json.error.code).toBe('tenant_not_found');
    for (const [key, id] of [
      [admin, 'gone'],
      [OPERATOR_KEY, 'never'],
    ] as const) {
      const refused = await gateway.ask(key, 'GET', `/admin/v1/tenants/${id}/spend`);
      expect([refused.status, refused.json.error.code]).toEqual([404, 'tenant_not_found']);
    }
  });
});

describe('a wrong method', () => {
  it.each([
    ['DELETE', 'tenants', 'GET, POST'],
    ['PUT', 'keys/key_0', 'DELETE, GET, PATCH'],
    ['POST', 'prices/base', 'DELETE, PUT'],
    ['POST', 'audit', 'GET'],
  ])('%s on %s is told with those that there are', async (method, path, allowed) => {
    const { status, json, headers } = await ask(method, path);
    expect([status, json.error.code, headers.get('allow')]).toEqual([405, 'method_not_supported', allowed]);
    const others = await gateway.ask('plk_none', method, `/admin/v1/${path}`);
    expect([others.status, others.headers.get('allow')]).toEqual([401, null]);
  });

  it('is none of a path that is not there', async () => {
    expect((await ask('GET', 'nothing')).json.error.code).toBe('unknown_url');
    const { key } = (await ask('POST', 'keys', { tenant: 'acme' })).json;
    expect((await gateway.ask(key, 'DELETE', '/admin/v1/tenants')).status).toBe(403);
    const litellm = await gateway.ask(OPERATOR_KEY, 'GET', '/key/generate');
    expect([litellm.status, litellm.headers.get('allow')]).toEqual([405, 'POST']);
  });
});

describe('what is wrong is told with what is right', () => {
  it.each([
    ['tenants', { id: '-acme' }, 'id', "letters, digits, '.', '_' and '-'"],
    ['keys', { limits: { rpm: 3 } }, 'limits.rpm', "'requests_per_minute'"],
    [
      'keys',
      { limits: { budgets: { week: { money: 1 } } } },
      'limits.budgets.week',
      "'day', 'month', 'total'",
    ],
    ['keys', { max_budget: 3 }, 'max_budget', "'limits'"],
    ['keys', { expires: 1_000_000 }, 'expires', 'in the past'],
  ])('%s %j', async (path, body, param, words) => {
    const { status, json } = await ask('POST', path, body);
    expect([status, json.error.param, json.error.message]).toEqual([
      400,
      param,
      expect.stringContaining(words),
    ]);
  });

  it('a key that would move', async () => {
    const { id } = (await ask('POST', 'keys', { tenant: 'acme' })).json;
    const { status, json } = await ask('PATCH', `keys/${id}`, { tenant: 'other' });
    expect([status, json.error.param, json.error.message]).toEqual([
      400,
      'tenant',
      expect.stringContaining('stays'),
    ]);
  });

  it.each([
    ['keys?team_id=acme', 'team_id'],
    ['keys?tenent=acme', 'tenent'],
    ['tenants?tenant=acme', 'tenant'],
    ['audit?tenent=acme', 'tenent'],
    ['adapters?owner=acme', 'owner'],
    ['prices?model=base', 'model'],
    ['tenants/acme/spend?form=2026-01-01', 'form'],
    ['tenants/acme/spend?from=2026-02-01&to=2026-01-31', 'from'],
  ])('%s', async (path, param) => {
    const { status, json } = await ask('GET', path);
    expect([status, json.error?.param]).toEqual([400, param]);
  });
});

it('limits that are taken away are not there', async () => {
  const limits = {
    requests_per_minute: 3,
    budgets: { day: { money: 1, tokens: null }, month: { money: 2 } },
  };
  const { id, limits: made } = (await ask('POST', 'keys', { tenant: 'acme', limits })).json;
  expect(made.budgets.day).toEqual({ money: 1 });
  const change = async (changed: object) =>
    (await ask('PATCH', `keys/${id}`, { limits: changed })).json.limits;
  expect(await change({ budgets: { month: null } })).toEqual({
    requests_per_minute: 3,
    budgets: { day: { money: 1 } },
  });
  expect(await change({ requests_per_minute: null, budgets: { day: null } })).toEqual({});
});

it.each([undefined, ''])('a key is rotated without a word, and with an empty one: %j', async (body) => {
  const { id } = (await ask('POST', 'keys', { tenant: 'acme' })).json;
  const rotated = await ask('POST', `keys/${id}/rotate`, body);
  expect([rotated.status, rotated.json.secrets.length]).toEqual([200, 2]);
});
