/** What administrators are told: of what is gone, of what is misspelt, and of what they may ask for instead. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OPERATOR_KEY, openApp, type TestApp } from '../support/app.ts';
import { until } from '../support/gateway.ts';

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
