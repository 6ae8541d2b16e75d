/** LiteLLM's routes for keys. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OPERATOR_KEY, openApp, type TestApp } from '../support/app.ts';

let gateway: TestApp;
/** Users' keys of two tenants. */
let user: { id: string; key: string };
let other: { id: string; key: string };

beforeAll(async () => {
  gateway = await openApp();
  for (const id of ['acme', 'other']) {
    expect((await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/tenants', { id })).status).toBe(201);
  }
  user = await newKey('acme', 'user');
  other = await newKey('other', 'user');
});
afterAll(() => gateway.close());

async function newKey(tenant: string, role: string): Promise<{ id: string; key: string }> {
  const { status, json } = await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/keys', { tenant, role });
  expect(status).toBe(201);
  return json;
}

describe("LiteLLM's /key", () => {
  it('takes the bodies of its proxy', async () => {
    const made = await gateway.ask(OPERATOR_KEY, 'POST', '/key/generate', {
      ...{ team_id: 'acme', key_alias: 'svc', models: ['base', 'acme/*'], user_id: 'u-1', duration: '30d' },
      ...{
        max_budget: 12.5,
        budget_duration: '30d',
        rpm_limit: 60,
        tpm_limit: 1000,
        max_parallel_requests: 4,
      },
      ...{ metadata: { team: 'core' }, aliases: {}, config: {}, permissions: {}, spend: 0, guardrails: [] },
    });
    expect(made.status).toBe(200);
    expect(made.json).toMatchObject({
      ...{
        key: expect.stringMatching(/^plk_/),
        key_alias: 'svc',
        team_id: 'acme',
        user_id: 'u-1',
        max_budget: 12.5,
      },
      ...{
        budget_duration: '1mo',
        rpm_limit: 60,
        tpm_limit: 1000,
        max_parallel_requests: 4,
        models: ['base', 'acme/*'],
      },
    });
    const { key } = made.json;
    expect((await gateway.ask(key, 'GET', '/v1/models')).status).toBe(200);
    const info = await gateway.ask(OPERATOR_KEY, 'GET', `/key/info?key=${key}`);
    expect(info.json.info).toMatchObject({ key_alias: 'svc', spend: 0, blocked: false });
    expect(info.text).not.toContain(key);
    const native = await gateway.ask(OPERATOR_KEY, 'GET', `/admin/v1/keys/${info.json.key}`);
    expect(native.json.limits).toEqual({
      requests_per_minute: 60,
      tokens_per_minute: 1000,
      concurrent_requests: 4,
      budgets: { month: { money: 12.5 } },
    });
    expect(
      (await gateway.ask(OPERATOR_KEY, 'POST', '/key/update', { key, max_budget: 20, models: [] })).json,
    ).toMatchObject({ max_budget: 20, budget_duration: '1mo', models: [], rpm_limit: 60 });
    expect((await gateway.ask(OPERATOR_KEY, 'POST', '/key/block', { key })).json.blocked).toBe(true);
    expect((await gateway.ask(key, 'GET', '/v1/models')).status).toBe(401);
    expect((await gateway.ask(OPERATOR_KEY, 'POST', '/key/unblock', { key })).json.blocked).toBe(false);
    expect((await gateway.ask(key, 'GET', '/v1/models')).status).toBe(200);
    const list = await gateway.ask(
      OPERATOR_KEY,
      'GET',
      '/key/list?team_id=acme&size=100&return_full_object=true',
    );
    expect(list.json.keys.map((each: { key_alias: string }) => each.key_alias)).toContain('svc');
    const listed = async (query: string) =>
      (await gateway.ask(OPERATOR_KEY, 'GET', `/key/list?${query}`)).json;
    const { key: id } = info.json;
    expect(await listed('team_id=acme&key_alias=svc')).toMatchObject({ keys: [id], total_count: 1 });
    expect(await listed(`key_hash=${id}`)).toMatchObject({ keys: [id], total_count: 1 });
    expect(await listed('user_id=u-1')).toMatchObject({ keys: [id], total_count: 1 });
    expect(await listed('user_id=u-1&page=2&size=1')).toMatchObject({ keys: [], total_count: 1 });
    expect(await listed('user_id=nobody')).toMatchObject({ keys: [], total_count: 0 });
    expect(await listed('user_id=u-1&key_alias=other')).toMatchObject({ keys: [], total_count: 0 });
    expect((await listed('organization_id=o')).error).toMatchObject({ param: 'organization_id' });
    expect(list.json).toMatchObject({ current_page: 1, total_pages: 1, total_count: list.json.keys.length });
    expect((await gateway.ask(OPERATOR_KEY, 'POST', '/key/delete', { keys: [key] })).json).toEqual({
      deleted_keys: [key],
    });
    expect((await gateway.ask(key, 'GET', '/v1/models')).status).toBe(401);
  });

  it.each([
    [{ key: 'sk-mine' }, 'key'],
    [{ soft_budget: 3 }, 'soft_budget'],
    [{ aliases: { 'gpt-4': 'base' } }, 'aliases'],
    [{ budget_duration: '7d', max_budget: 1 }, 'budget_duration'],
    [{ model_max_budget: { base: 1 } }, 'model_max_budget'],
    [{ duration: 'soon' }, 'duration'],
    [{ allowed_routes: ['/v1/models'] }, 'allowed_routes'],
    [{ rpm_limit: '5' }, 'rpm_limit'],
  ])('refuses by its name what it does not do: %j', async (body, param) => {
    const answer = await gateway.ask(OPERATOR_KEY, 'POST', '/key/generate', body);
    expect([answer.status, answer.json.error.param]).toEqual([400, param]);
  });
});

describe("LiteLLM's question about a key, without naming one", () => {
  it("answers a user's key about itself, and about nothing else", async () => {
    const { status, json, text } = await gateway.ask(user.key, 'GET', '/key/info');
    expect([status, json.key, json.info?.team_id]).toEqual([200, user.id, 'acme']);
    expect(text).not.toContain(user.key);
    const refusal = await gateway.ask(user.key, 'GET', '/key/info?key=key_0000000000000000');
    expect([refusal.status, refusal.json.error.code]).toEqual([403, 'insufficient_permissions']);
    for (const [method, path] of [
      ['GET', `/key/info?key=${user.id}`],
      ['GET', `/key/info?key=${other.key}`],
      ['GET', '/key/info?key='],
      ['GET', '/key/info?key'],
      ['GET', `/key/info?%6bey=${user.id}`],
      ['GET', '/key/info/'],
      ['GET', '/key/list'],
      ['POST', '/key/info'],
    ] as const) {
      const answer = await gateway.ask(user.key, method, path);
      expect([answer.status, answer.text, path]).toEqual([403, refusal.text, path]);
    }
  });

  it('answers whoever has no key of the database that there is none', async () => {
    expect((await gateway.ask(OPERATOR_KEY, 'GET', '/key/info')).json.error.code).toBe('key_not_found');
    expect((await gateway.ask(null, 'GET', '/key/info')).status).toBe(401);
  });
});
