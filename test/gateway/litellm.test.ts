/** LiteLLM's routes for keys. */
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createLogger } from '../../gateway/src/logging.ts';
import { openApp, type TestApp } from '../support/app.ts';
import { until } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

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
        budget_duration: '30d',
        budget_reset_at: expect.stringMatching(/-01T00:00:00.000Z$/),
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
    ).toMatchObject({ max_budget: 20, budget_duration: '30d', models: [], rpm_limit: 60 });
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
      ...{ max_budget: 3, budget_duration: '24h', key: expect.stringMatching(/^plk_/) },
    });
    expect([await holds(first.key), await holds(second.json.key)]).toEqual([false, true]);
    const third = await ask('regenerate', { key: first.token_id, grace_period: '1h' });
    expect([await holds(second.json.key), await holds(third.json.key)]).toEqual([true, true]);
    // A null changes nothing.
    const whole = { duration: null, models: null, max_budget: null, budget_duration: null, key_alias: null };
    const fourth = await ask('regenerate', { key: first.token_id, grace_period: '1h', ...whole });
    expect(fourth.json).toMatchObject({
      key_alias: 'turned',
      rpm_limit: 60,
      max_budget: 3,
      budget_duration: '24h',
    });
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
    [{ budget_duration: '30d' }, 'budget_duration'],
    [{ key_type: 'management' }, 'key_type'],
    [{ tags: 'a' }, 'tags'],
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

describe('LiteLLM scripts', () => {
  const ask = (path: string, body?: unknown) => gateway.ask(OPERATOR_KEY, 'POST', `/key/${path}`, body);
  const get = (path: string) => gateway.ask(OPERATOR_KEY, 'GET', `/key/${path}`);

  it('name the key to regenerate in the path', async () => {
    const first = (await ask('generate', { team_id: 'acme', key_alias: 'path' })).json;
    const second = await ask(`${first.key}/regenerate`);
    expect(second.json).toMatchObject({ token_id: first.token_id, key: expect.stringMatching(/^plk_/) });
    expect((await gateway.ask(first.key, 'GET', '/v1/models')).status).toBe(401);
    const third = await ask(`${first.token_id}/regenerate`, {
      key: 'key_other',
      rpm_limit: 7,
      grace_period: '1h',
    });
    expect(third.json).toMatchObject({ token_id: first.token_id, rpm_limit: 7 });
    expect((await gateway.ask(second.json.key, 'GET', '/v1/models')).status).toBe(200);
    // Another tenant's administrator has no such key, and nobody else may ask.
    const admin = await newKey('other', 'admin');
    expect((await gateway.ask(admin.key, 'POST', `/key/${third.json.key}/regenerate`)).status).toBe(404);
    expect((await gateway.ask(user.key, 'POST', `/key/${third.json.key}/regenerate`)).status).toBe(403);
  });

  it('send empty forms, values that ask for nothing, and no body at all', async () => {
    const made = await ask('generate', {
      ...{ team_id: 'acme', key_type: 'llm_api', budget_duration: '', duration: '', user_id: '' },
      ...{ organization_id: '', tags: ['a', 'b'], metadata: { x: 1 } },
    });
    expect(made.json).toMatchObject({
      metadata: { x: 1, tags: ['a', 'b'] },
      expires: null,
      budget_duration: null,
    });
    const { token } = made.json;
    expect((await ask('update', { key: token, rpm_limit: 3 })).json.metadata.tags).toEqual(['a', 'b']);
    expect((await ask('update', { key: token, tags: null })).json.metadata).toEqual({ x: 1 });
    const listed = await get(
      `list?key_hash=${token}&include_team_keys=false&sort_order=desc&expand=user&organization_id=&sort_by=`,
    );
    expect(listed.json.keys).toEqual([token]);
    expect((await get('list?include_team_keys=true')).json.error.param).toBe('include_team_keys');
    expect((await ask('generate')).json).toMatchObject({ team_id: 'operator', models: [] });
    const typed = await gateway.app.request('/key/generate', {
      method: 'POST',
      headers: { authorization: `Bearer ${OPERATOR_KEY}` },
      body: '{}',
    });
    expect([typed.status, await typed.text()]).toEqual([
      415,
      expect.stringContaining('content-type: application/json'),
    ]);
  });

  it('read what a key may use, and its budget, as it was given', async () => {
    const none = (await ask('generate', { team_id: 'acme', models: ['no-default-models'] })).json;
    expect(none.models).toEqual(['no-default-models']);
    expect((await gateway.ask(OPERATOR_KEY, 'GET', `/admin/v1/keys/${none.token}`)).json.models).toEqual([]);
    const made = await ask('update', {
      key: none.token,
      max_budget: 2,
      budget_duration: '1mo',
      models: ['base'],
    });
    expect(made.json).toMatchObject({ budget_duration: '1mo', models: ['base'] });
    const limits = { budgets: { day: { money: 1 }, month: null } };
    await gateway.ask(OPERATOR_KEY, 'PATCH', `/admin/v1/keys/${none.token}`, { limits });
    expect((await get(`info?key=${none.token}`)).json.info).toMatchObject({
      max_budget: 1,
      budget_duration: '1d',
    });
    const total = (await ask('update', { key: none.token, budget_duration: null })).json;
    expect([total.budget_duration, total.budget_reset_at]).toEqual([null, null]);
    expect((await ask('update', { key: none.token, max_budget: null })).json.max_budget).toBe(null);
  });

  it('are told which lists name keys to delete, and which key is not there', async () => {
    for (const body of [{}, { keys: [] }, { keys: null, key_aliases: [] }]) {
      const refused = await ask('delete', body);
      expect([refused.status, refused.json.error.message]).toEqual([
        400,
        expect.stringMatching(/'keys' or 'key_aliases'/),
      ]);
    }
    const { key } = (await ask('generate', { team_id: 'acme' })).json;
    await ask('delete', { keys: [key] });
    expect((await get(`info?key=${key}`)).json.error.message).toBe('There is no key with this text.');
  });
});

it('keys that are sent in a path are in no answer, no log and no metric', async () => {
  const lines: string[] = [];
  const logger = createLogger('debug');
  for (const level of ['debug', 'info', 'warn', 'error'] as const)
    vi.spyOn(logger, level).mockImplementation((...said: unknown[]) => void lines.push(inspect(said)));
  const watched = await openApp({ logger });
  const warned = await watched.ask(OPERATOR_KEY, 'POST', '/key/generate', {});
  const { key } = warned.json;
  expect(lines.join('')).toMatch(/without a .?'team_id/);
  for (const secret of [key, `${key.slice(0, -1)}`, 'sk-proj-1234567890abcdef']) {
    for (const [method, path] of [
      ['POST', `/key/${secret}/regenerated`],
      ['PUT', `/key/${secret}/regenerate`],
      ['PUT', `/v1/models/${secret}`],
      ['GET', `/key/info?key=${secret}x`],
      ['GET', `/admin/v1/keys/${secret}`],
      ['POST', `/key/${secret}x/regenerate`],
      ['POST', `/key/%${secret.charCodeAt(0).toString(16)}${secret.slice(1)}x/regenerated`],
    ] as const) {
      const { text, status } = await watched.ask(OPERATOR_KEY, method, path);
      expect([status >= 400, text.includes(secret.slice(8)), path]).toEqual([true, false, path]);
    }
  }
  expect((await watched.ask(OPERATOR_KEY, 'POST', `/key/${key}/regenerate`)).status).toBe(200);
  const metrics = (await watched.ask(OPERATOR_KEY, 'GET', '/metrics')).text;
  await until(() => lines.some((line) => line.includes('/key/:key/regenerate')));
  for (const secret of [key.slice(12), 'proj-1234567890'])
    expect([lines.join('').includes(secret), metrics.includes(secret)]).toEqual([false, false]);
  await watched.close();
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
