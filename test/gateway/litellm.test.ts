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

  it('gives a key another text, with its body', async () => {
    const ask = (path: string, body: object) => gateway.ask(OPERATOR_KEY, 'POST', `/key/${path}`, body);
    const holds = async (key: string) => (await gateway.ask(key, 'GET', '/v1/models')).status === 200;
    const first = (await ask('generate', { team_id: 'acme', key_alias: 'turned', rpm_limit: 60 })).json;
    const second = await ask('regenerate', { key: first.key, max_budget: 3, budget_duration: '24h' });
    expect(second.json).toMatchObject({
      ...{ token_id: first.token_id, key_alias: 'turned', rpm_limit: 60 },
      ...{ max_budget: 3, budget_duration: '1d', key: expect.stringMatching(/^plk_/) },
    });
    expect([await holds(first.key), await holds(second.json.key)]).toEqual([false, true]);
    const third = await ask('regenerate', { key: first.token_id, grace_period: '1h' });
    expect([await holds(second.json.key), await holds(third.json.key)]).toEqual([true, true]);
    for (const [body, param] of [
      [{ grace_period: 'soon' }, 'grace_period'],
      [{ grace_period: '91d' }, 'grace_period'],
      [{ new_key: 'sk-mine' }, 'new_key'],
      [{ budget_duration: '7d' }, 'budget_duration'],
    ] as const) {
      const refused = await ask('regenerate', { key: first.token_id, ...body });
      expect([refused.status, refused.json.error.param]).toEqual([400, param]);
    }
    // What was refused has changed nothing.
    expect(await holds(third.json.key)).toBe(true);
    expect((await ask('regenerate', { key: 'key_0000000000000000' })).json.error.code).toBe('key_not_found');
  });

  it('removes keys by their aliases, where each is of one key', async () => {
    const ask = (path: string, body: object) => gateway.ask(OPERATOR_KEY, 'POST', `/key/${path}`, body);
    const make = async (team_id: string, key_alias: string) =>
      (await ask('generate', { team_id, key_alias })).json.key as string;
    const status = async (key: string) => (await gateway.ask(key, 'GET', '/v1/models')).status;
    const keys = [await make('acme', 'one'), await make('acme', 'same'), await make('other', 'same')];
    const several = await ask('delete', { key_aliases: ['one', 'same'] });
    expect([several.status, several.json.error.param]).toEqual([400, 'key_aliases[1]']);
    expect((await ask('delete', { key_aliases: ['one', 'none'] })).json.error.code).toBe('key_not_found');
    expect(await Promise.all(keys.map(status))).toEqual([200, 200, 200]);
    // A tenant's administrator has one of that name.
    const admin = await newKey('acme', 'admin');
    const removed = await gateway.ask(admin.key, 'POST', '/key/delete', { key_aliases: ['one', 'same'] });
    expect(removed.json).toEqual({ deleted_keys: ['one', 'same'] });
    expect(await Promise.all(keys.map(status))).toEqual([401, 401, 200]);
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
