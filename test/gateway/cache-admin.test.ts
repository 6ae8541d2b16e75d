/** The answer cache as operators, tenants' administrators and clients see it: the admin API, reports, metrics, the log and `polylora cache`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cacheClient, type Json, series } from '../support/cache-client.ts';
import {
  administer,
  type Gateway,
  launch,
  START_MILLISECONDS,
  startGateway,
  until,
} from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const CATEGORIES = ['general', 'code', 'factual'] as const;
const SECRET = 'What about the canary?';

const data = mkdtempSync(join(tmpdir(), 'polylora-cache-admin-'));
let gateway: Gateway;
const { call, ask, listed, metrics } = cacheClient(() => gateway);
/** An administrator and a user of one tenant, and an administrator of another. */
let [admin, user, other] = ['', '', ''];

beforeAll(async () => {
  gateway = await startGateway({
    auth: 'keys',
    args: ['--cache', 'exact', '--embedding-model', 'none', '--data-directory', data],
    env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY, POLYLORA_SECRET_KEY: 'ab'.repeat(32) },
  });
  for (const id of ['acme', 'globex']) await administer(gateway, 'tenants', { id });
  admin = (await administer(gateway, 'keys', { tenant: 'acme', role: 'admin' })).key;
  user = (await administer(gateway, 'keys', { tenant: 'acme' })).key;
  other = (await administer(gateway, 'keys', { tenant: 'globex', role: 'admin' })).key;
}, START_MILLISECONDS);
afterAll(async () => {
  await gateway?.stop();
  rmSync(data, { recursive: true, force: true });
});
beforeEach(async () => {
  await call(OPERATOR_KEY, 'POST', 'admin/v1/cache/purge', { all: true });
});

/** Two of a tenant's in each category but for the tags and models that are told, and one of another tenant's. */
async function fill(): Promise<void> {
  for (const category of CATEGORIES) {
    await ask(admin, `one of ${category}`, { cache: { category, tags: ['docs', category] } });
    await ask(user, `two of ${category}`, { model: 'pirate', cache: { category } });
  }
  await ask(other, SECRET, { cache: { category: 'general', tags: ['docs'] } });
  await listed(OPERATOR_KEY, '', 7);
}

describe('a tenant that is removed', () => {
  it('leaves no answers behind', async () => {
    await administer(gateway, 'tenants', { id: 'leaving' });
    const { key } = await administer(gateway, 'keys', { tenant: 'leaving' });
    await ask(key, 'What stays of me?');
    await ask(user, 'What stays of us?');
    await listed(OPERATOR_KEY, '', 2);
    expect((await call(OPERATOR_KEY, 'DELETE', 'admin/v1/tenants/leaving')).status).toBe(200);
    const [left] = await listed(OPERATOR_KEY, '', 1);
    expect(left).toMatchObject({ tenant: 'acme' });
  });
});

it('each request counts once, found or not, and one too many is refused before anything is looked up', async () => {
  const { key } = await administer(gateway, 'keys', {
    tenant: 'globex',
    limits: { requests_per_minute: 3, concurrent_requests: 1 },
  });
  const states: string[] = [];
  for (let i = 0; i < 3; i++) states.push((await ask(key, 'How often may I ask?')).state.split(';')[0] ?? '');
  expect(states).toEqual(['miss', 'hit', 'hit']);
  const lookups = () => metrics().then((text) => series(text, 'polylora_cache_lookups_total{'));
  const before = await lookups();
  await expect(ask(key, 'How often may I ask?')).rejects.toThrow(/requests per minute/);
  await expect(ask(key, 'And something else?')).rejects.toThrow(/requests per minute/);
  expect(await lookups()).toBe(before);
});

describe('entries', () => {
  it('are listed the newest first, by each filter, in pages, each tenant its own', async () => {
    await fill();
    const all = await listed(OPERATOR_KEY, '', 7);
    expect(all[0]).toMatchObject({
      ...{ object: 'cache.entry', tenant: 'globex', category: 'general', tags: ['docs'], hits: 0 },
      ...{ prompt_tokens: expect.any(Number), completion_tokens: 4, bytes: expect.any(Number) },
    });
    const [, pirate] = all;
    for (const [query, expected] of [
      ['tenant=acme', 6],
      ['model=pirate', 3],
      [`root=${pirate.root}`, 3],
      ['category=code', 2],
      ['tag=docs', 4],
      ['tag=docs&category=general', 2],
      ['tenant=nobody', 0],
    ] as const) {
      expect(await listed(OPERATOR_KEY, query, expected)).toHaveLength(expected);
    }
    const ids: string[] = [];
    for (let after = ''; ; ) {
      const { json } = await call(admin, 'GET', `admin/v1/cache/entries?limit=2${after}`);
      ids.push(...json.data.map(({ id }: Json) => id));
      if (!json.has_more) break;
      after = `&after=${json.last_id}`;
    }
    expect(ids).toEqual(all.flatMap(({ id, tenant }) => (tenant === 'acme' ? [id] : [])));
  });

  it('are found by words of their questions, each tenant its own', async () => {
    await fill();
    const found = async (key: string, query: string) => {
      const { json } = await call(key, 'GET', `admin/v1/cache/entries?questions=true&${query}`);
      return json.data.map(({ question }: Json) => question);
    };
    expect(await found(admin, 'q=TWO%20fact')).toEqual(['two of factual']);
    expect(await found(admin, 'q=of&category=code')).toEqual(['two of code', 'one of code']);
    expect(await found(admin, 'q=canary')).toEqual([]);
    expect(await found(OPERATOR_KEY, 'q=canary')).toEqual([SECRET]);
    expect(await found(OPERATOR_KEY, 'q=canary&tenant=acme')).toEqual([]);
    const first = (await call(admin, 'GET', 'admin/v1/cache/entries?q=two&limit=2')).json;
    expect(first).toMatchObject({ data: [{}, {}], has_more: true });
    expect(first.data[0]).not.toHaveProperty('question');
    const rest = (await call(admin, 'GET', `admin/v1/cache/entries?q=two&after=${first.last_id}`)).json;
    expect(rest).toMatchObject({ data: [{ category: 'general' }], has_more: false });
    const long = await call(admin, 'GET', `admin/v1/cache/entries?q=${'x'.repeat(257)}`);
    expect([long.status, long.json.error.param]).toEqual([400, 'q']);
  });

  it('never show an answer, and questions only to who may see them and asks', async () => {
    await ask(other, SECRET);
    const [entry] = await listed(other, '', 1);
    expect(entry).not.toHaveProperty('question');
    for (const path of ['entries?questions=true', `entries/${entry.id}?questions=true`]) {
      for (const key of [other, OPERATOR_KEY]) {
        const { status, text } = await call(key, 'GET', `admin/v1/cache/${path}`);
        expect([status, text.includes(SECRET), text.includes('answer')]).toEqual([200, true, false]);
      }
      expect((await call(admin, 'GET', `admin/v1/cache/${path}`)).text).not.toContain(SECRET);
    }
    const many = await call(OPERATOR_KEY, 'GET', 'admin/v1/cache/entries?questions=true&limit=101');
    expect([many.status, many.json.error.param]).toEqual([400, 'limit']);
  });

  it("that are another's are answered like those that are not there", async () => {
    await ask(admin, 'mine');
    const { id } = await ask(admin, 'mine');
    const never = '00000000-0000-4000-8000-000000000000';
    for (const [method, path] of [
      ['GET', (each: string) => `admin/v1/cache/entries/${each}`],
      ['DELETE', (each: string) => `admin/v1/cache/entries/${each}`],
      ['POST', (each: string) => `admin/v1/cache/entries/${each}/report`],
      ['POST', (each: string) => `v1/cache/entries/${each}/report`],
    ] as const) {
      const [foreign, none] = [await call(other, method, path(id)), await call(other, method, path(never))];
      expect([foreign.status, foreign.json.error.code]).toEqual([404, 'cache_entry_not_found']);
      expect(foreign.text.replace(id, '')).toBe(none.text.replace(never, ''));
    }
    const filtered = await call(other, 'GET', 'admin/v1/cache/entries?tenant=acme');
    expect([filtered.status, filtered.json.error.code]).toEqual([404, 'tenant_not_found']);
    expect((await call(other, 'GET', 'admin/v1/cache?tenant=acme')).status).toBe(404);
    expect((await call(user, 'GET', 'admin/v1/cache')).status).toBe(403);
    expect((await call(admin, 'GET', `admin/v1/cache/entries/${id}`)).json).toMatchObject({ id, hits: 1 });
    expect((await call(admin, 'DELETE', `admin/v1/cache/entries/${id}`)).json).toEqual({ id, deleted: true });
    expect((await ask(admin, 'mine')).state).toMatch(/^miss/);
  });

  it.each([
    ['entries?limit=0', 'limit'],
    ['entries?after=x', 'after'],
    ['entries?questions=1', 'questions'],
    ['entries?tags=x', 'tags'],
    ['entries?tag=', 'tag'],
    ['?tenants=x', 'tenants'],
  ])('say by its name what of a question is wrong: %s', async (path, param) => {
    const { status, json } = await call(
      OPERATOR_KEY,
      'GET',
      `admin/v1/cache${path.startsWith('?') ? '' : '/'}${path}`,
    );
    expect([status, json.error.param]).toEqual([400, param]);
  });
});

describe('a purge', () => {
  it.each([
    [{ tenant: 'acme' }, 6],
    [{ model: 'pirate' }, 3],
    [{ category: 'code' }, 2],
    [{ tag: 'docs' }, 4],
    [{ tag: 'docs', tenant: 'globex' }, 1],
    [{ all: true }, 7],
    [{ category: 'nothing' }, 0],
  ])('takes out what matches and nothing else, and a dry run nothing: %j', async (filter, expected) => {
    await fill();
    const purge = (body: object) => call(OPERATOR_KEY, 'POST', 'admin/v1/cache/purge', body);
    const query = new URLSearchParams(
      Object.entries(filter).filter(([field]) => field !== 'all') as [string, string][],
    );
    const matching = new Set((await listed(OPERATOR_KEY, `${query}`, expected)).map(({ id }) => id));
    const dry = await purge({ ...filter, dry_run: true });
    expect(dry.json).toMatchObject({ object: 'cache.purge', dry_run: true, entries: expected });
    const before = await listed(OPERATOR_KEY, '', 7);
    expect((await purge(filter)).json).toEqual({ ...dry.json, dry_run: false });
    const left = await listed(OPERATOR_KEY, '', 7 - expected);
    expect(left.map(({ id }) => id)).toEqual(before.map(({ id }) => id).filter((id) => !matching.has(id)));
    const { entries } = (await call(OPERATOR_KEY, 'GET', 'admin/v1/cache')).json;
    expect(entries).toBe(7 - expected);
    const [newest] = (await call(OPERATOR_KEY, 'GET', 'admin/v1/audit?action=cache.purge&limit=1')).json.data;
    const { all, ...told } = filter as { all?: true };
    expect(newest).toMatchObject({
      actor: 'operator',
      subject: 'cache',
      details: { ...told, entries: expected },
    });
    // Gone from memory as well.
    const { state } = await ask(admin, 'one of code', {
      cache: { category: 'code', tags: ['docs', 'code'] },
    });
    const isGone = [...before].some(({ id, tags }) => matching.has(id) && tags.includes('code'));
    expect(state).toMatch(isGone ? /^miss/ : /^hit/);
  });

  it('is of one entry by its id, which is nobody else’s', async () => {
    await ask(admin, 'one');
    await ask(admin, 'two');
    const [{ id }] = (await listed(admin, '', 2)) as [Json];
    const purge = async (key: string, body: object) =>
      (await call(key, 'POST', 'admin/v1/cache/purge', body)).json.entries;
    expect(await purge(admin, { id, dry_run: true })).toBe(1);
    expect(await purge(other, { id })).toBe(0);
    expect(await purge(OPERATOR_KEY, { id, category: 'code' })).toBe(0);
    expect(await purge(admin, { id })).toBe(1);
    expect(await purge(admin, { id: 'no\0id' })).toBe(0);
    expect(await listed(admin, '', 1)).not.toMatchObject([{ id }]);
  });

  it("is of a tenant's own where its administrator asks, and of everything only where that is said", async () => {
    await fill();
    for (const [body, code, param] of [
      [{}, 'missing_required_parameter', 'all'],
      [{ dry_run: true }, 'missing_required_parameter', 'all'],
      [{ all: true, tag: 'docs' }, 'invalid_value', 'all'],
      [{ tags: 'docs' }, 'unsupported_parameter', 'tags'],
      [{ tenant: '' }, 'empty_string', 'tenant'],
    ] as const) {
      const { status, json } = await call(OPERATOR_KEY, 'POST', 'admin/v1/cache/purge', body);
      expect([status, json.error?.param]).toEqual([400, param]);
      expect([code, 'invalid_value']).toContain(json.error.code);
    }
    const foreign = await call(admin, 'POST', 'admin/v1/cache/purge', { tenant: 'globex' });
    expect([foreign.status, foreign.json.error.code]).toEqual([404, 'tenant_not_found']);
    expect((await call(admin, 'POST', 'admin/v1/cache/purge', { all: true })).json.entries).toBe(6);
    expect(await listed(OPERATOR_KEY, '', 1)).toMatchObject([{ tenant: 'globex' }]);
    const [newest] = (await call(OPERATOR_KEY, 'GET', 'admin/v1/audit?action=cache.purge&limit=1')).json.data;
    expect(newest).toMatchObject({
      actor: expect.stringMatching(/^acme\/key_/),
      details: { tenant: 'acme', entries: 6 },
    });
  });
});

describe('a report', () => {
  it('takes the answer out, counts once, and is told the same when it is said again', async () => {
    await ask(user, 'a question');
    const { state, id } = await ask(user, 'a question');
    expect(state).toMatch(/^hit; level=exact/);
    const reports = async () => series(await metrics(), 'polylora_cache_reports_total');
    const before = await reports();
    for (let i = 0; i < 2; i++) {
      const { status, json } = await call(user, 'POST', `v1/cache/entries/${id}/report`);
      expect([status, json]).toEqual([200, { id, object: 'cache.report', reported: true }]);
      expect((await call(other, 'POST', `v1/cache/entries/${id}/report`)).status).toBe(404);
    }
    expect((await reports()) - before).toBe(1);
    expect((await ask(user, 'a question')).state).toMatch(/^miss/);
  });

  it('counts as a request', async () => {
    const limited = await administer(gateway, 'keys', { tenant: 'acme', limits: { requests_per_minute: 2 } });
    const path = 'v1/cache/entries/00000000-0000-4000-8000-000000000000/report';
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await call(limited.key, 'POST', path)).status);
    expect(statuses).toEqual([404, 404, 429]);
  });
});

describe('the status', () => {
  it('tells what there is and what it saved: all to operators, its own to a tenant', async () => {
    const of = async (key: string, query = '') => {
      const { json } = await call(key, 'GET', `admin/v1/cache${query}`);
      return { ...json, code: json.categories.find(({ name }: Json) => name === 'code') };
    };
    const before = await of(admin);
    const cache = { category: 'code' };
    for (let i = 0; i < 3; i++) await ask(admin, 'the same', { cache });
    const [own, theirs, whole] = [await of(admin), await of(other), await of(OPERATOR_KEY)];
    expect(own).toMatchObject({ tenant: 'acme', load: null, store: null, in_memory: null, entries: 1 });
    expect(own.code.hits.exact - before.code.hits.exact).toBe(2);
    expect(own.code.misses - before.code.misses).toBe(1);
    expect(own.code.saved.completion_tokens - before.code.saved.completion_tokens).toBe(8);
    expect(theirs).toMatchObject({ tenant: 'globex', entries: 0 });
    expect(whole).toMatchObject({
      ...{
        object: 'cache',
        tenant: null,
        finds: 'exact',
        embedding: null,
        entries: 1,
        store: { state: 'up' },
        index: null,
      },
      ...{ in_memory: { entries: 1 }, load: { target_ms: 500, relaxation: 0 } },
    });
    expect(whole.code).toMatchObject({
      recognized: false,
      similarity_threshold: 0.92,
      ttl_seconds: 604_800,
      threshold_offset: 0,
    });
    expect(whole.code.hit_rate).toBeGreaterThan(0);
    expect(whole.code.break_even_hit_rate).toBeGreaterThan(0);
    expect(whole.code.break_even_hit_rate).toBeLessThan(0.5);
    expect((await of(OPERATOR_KEY, '?tenant=acme')).code).toEqual(own.code);
  });

  it('has the categories as they are configured, and tells that questions cannot be classified', async () => {
    const { json } = await call(admin, 'GET', 'admin/v1/cache/categories');
    expect(json.data.map(({ name }: Json) => name)).toEqual(expect.arrayContaining(['general', 'medical']));
    expect(json.data.find(({ name }: Json) => name === 'medical')).toMatchObject({
      ...{ object: 'cache.category', enabled: false, adaptive: expect.anything() },
      examples: expect.arrayContaining([expect.any(String)]),
    });
    const refused = await call(admin, 'POST', 'admin/v1/cache/classify', { text: 'Hello' });
    expect([refused.status, refused.json.error.code]).toEqual([403, 'cache_disabled']);
    const told = gateway.logs().filter((line) => line.includes('questions of categories that are off'));
    expect(told.map((line) => JSON.parse(line).categories)).toEqual([['medical', 'personal']]);
  });
});

describe('metrics and the log', () => {
  it('tell what became of requests, by categories that are configured', async () => {
    const lookups = (text: string, result: string) =>
      series(text, `polylora_cache_lookups_total{result="${result}",category="factual"}`);
    const before = await metrics();
    const cache = { category: 'factual' };
    for (let i = 0; i < 2; i++) await ask(user, 'counted', { cache });
    await ask(user, 'counted', { cache: { ...cache, 'no-cache': true } });
    await Promise.all([1, 2, 3].map(() => ask(user, 'shared', { cache, max_tokens: 40 })));
    await ask(user, 'unsupported', { logprobs: true });
    const after = await metrics();
    const made = (result: string) => lookups(after, result) - lookups(before, result);
    expect([made('hit_exact'), made('miss'), made('bypass'), made('hit_shared')]).toEqual([1, 2, 1, 2]);
    expect(series(after, 'polylora_cache_lookups_total{result="bypass",category="-"}')).toBeGreaterThan(0);
    expect(
      series(after, 'polylora_cache_lookup_seconds_bucket{le="0.001",result="hit_exact"'),
    ).toBeGreaterThan(0);
    expect(series(after, 'polylora_cache_entries{category="factual"}')).toBe(2);
    expect(series(after, 'polylora_cache_evictions_total{reason="replaced"}')).toBeGreaterThan(0);
    expect(series(after, 'polylora_cache_evictions_total{reason="purged"}')).toBeGreaterThan(0);
    expect(
      series(after, 'polylora_cache_saved_tokens_total{category="factual",kind="completion"}'),
    ).toBeGreaterThan(80);
    expect(series(after, 'polylora_cache_store_up')).toBe(1);
    expect(series(after, 'polylora_cache_ttl_seconds{category="factual"}')).toBe(604_800);
    expect(after).not.toMatch(/^polylora_cache_index_entries /m);
    expect(after).not.toMatch(/polylora_cache\w*\{[^}]*(acme|globex)/);
  });

  it('have it in the line of each request', async () => {
    const logged = async (id: string, fields: object = {}) => {
      await ask(user, 'a logged one', fields, { 'x-request-id': id });
      const line = () => gateway.logs().find((each) => each.includes(`"${id}"`));
      await until(() => line() !== undefined);
      return JSON.parse(line() ?? '').cache;
    };
    expect(await logged('log-1')).toEqual({ result: 'miss', category: 'general' });
    expect(await logged('log-2')).toEqual({ result: 'hit', level: 'exact', category: 'general' });
    expect(await logged('log-3', { logprobs: true })).toEqual({ result: 'bypass' });
  });
});

describe('polylora cache', () => {
  async function run(args: readonly string[], key = OPERATOR_KEY) {
    const env = { POLYLORA_URL: gateway.url, POLYLORA_OPERATOR_KEY: key };
    const { exited, output } = launch(['cache', ...args], env);
    return { status: await exited, ...output };
  }

  it('tells the status, lists, purges and reports', async () => {
    await fill();
    const status = await run(['status']);
    expect(status).toMatchObject({ status: 0, stderr: '' });
    expect(status.stdout).toMatch(/^entries +7 entries \(.* [k]?B\)$/m);
    expect(status.stdout).toMatch(/^CATEGORY +ENTRIES +SIZE +THRESHOLD/m);
    expect(status.stdout).toMatch(/^code +2 +.* 0\.920 +7 d/m);
    expect(status.stdout).toMatch(/^medical \(off where it is named\) +0/m);
    const entries = await run(['entries', '--category', 'general', '--questions']);
    expect(entries.stdout.split('\n')).toHaveLength(5);
    expect(entries.stdout).toContain(SECRET);
    expect((await run(['entries', '--limit', '2'])).stdout).toMatch(
      /^There are older ones: --after \d+\.[\w-]+$/m,
    );
    expect((await run(['entries'], other)).stdout.split('\n')).toHaveLength(3);

    expect((await run(['purge', '--tag', 'docs', '--dry-run'])).stdout).toMatch(/^Would remove 4 entries \(/);
    const asked = await run(['purge', '--tag', 'docs']);
    expect(asked.status).toBe(2);
    expect(asked.stderr).toMatch(/^Remove 4 entries \(.*\) from the cache\? .*--yes/);
    expect((await run(['purge', '--tag', 'docs', '--yes'])).stdout).toMatch(/^Removed 4 entries \(/);
    expect((await run(['purge', '--yes'])).status).toBe(2);
    expect((await run(['purge', '--all', '--tag', 'docs', '--yes'])).status).toBe(2);

    const { id } = await ask(user, 'two of code', { model: 'pirate', cache: { category: 'code' } });
    const refused = await run(['report', id], other);
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('cache_entry_not_found')]);
    expect((await run(['report', id])).stdout).toBe(`Reported ${id}: it is no answer any more.\n`);
    expect((await run(['entries', '--category', 'code'])).stdout).toBe('There is no such entry.\n');
    expect(JSON.parse((await run(['purge', '--all', '--yes', '--json'])).stdout)).toMatchObject({
      entries: 2,
    });
  });
});

describe('hits', () => {
  const hits = async (key: string, query = '') =>
    (await call(key, 'GET', `admin/v1/cache/hits${query}`)).json.data;

  it('are told with what they were found by, the newest first, each tenant its own', async () => {
    const cache = { category: 'code' };
    for (const id of ['hit-0', 'hit-1', 'hit-2'])
      await ask(admin, 'an often asked one', { cache }, { 'x-request-id': id });
    await ask(other, SECRET);
    await ask(other, SECRET, {}, { 'x-request-id': 'hit-3' });
    const [entry] = await listed(admin, '', 1);
    const known = {
      ...{
        at: expect.any(Number),
        request_id: 'hit-2',
        entry_id: entry.id,
        level: 'exact',
        category: 'code',
      },
      ...{ tenant: 'acme', similarity: 1, probability: null, threshold: 1, strictness: 0 },
      ...{ age_seconds: expect.any(Number), question: null, entry_question: 'an often asked one' },
    };
    expect((await hits(admin, '?limit=2')) as Json).toEqual([known, { ...known, request_id: 'hit-1' }]);
    expect(Date.now() - (await hits(admin))[0].at).toBeLessThan(60_000);
    expect((await hits(OPERATOR_KEY, '?limit=3')).map(({ request_id }: Json) => request_id)).toEqual([
      'hit-3',
      'hit-2',
      'hit-1',
    ]);
    expect((await hits(other, '?limit=1'))[0]).toMatchObject({ tenant: 'globex', entry_question: SECRET });
    expect(new Set((await hits(admin, '?limit=200')).map(({ tenant }: Json) => tenant))).toEqual(
      new Set(['acme']),
    );
    // What is gone is told of without its words.
    await call(OPERATOR_KEY, 'DELETE', `admin/v1/cache/entries/${entry.id}`);
    expect((await hits(admin, '?limit=1'))[0]).toEqual({ ...known, entry_question: null });
    for (const query of ['?limit=0', '?limit=201', '?limit=x', '?tenant=acme'])
      expect((await call(OPERATOR_KEY, 'GET', `admin/v1/cache/hits${query}`)).status).toBe(400);
  });

  it('that are shared have the id of the answer that was being made', async () => {
    const fields = { cache: { category: 'factual' }, max_tokens: 40 };
    const states = await Promise.all([1, 2, 3].map(() => ask(admin, 'shared by three', fields)));
    const shared = states.filter(({ state }) => state.includes('level=shared'));
    expect(shared).toHaveLength(2);
    for (const hit of await hits(admin, '?limit=2'))
      expect(hit).toMatchObject({
        level: 'shared',
        category: 'factual',
        entry_id: shared[0]?.id,
        similarity: 1,
      });
  });
});

describe('a category that an operator sets', () => {
  const put = (name: string, body: unknown, key = OPERATOR_KEY) =>
    call(key, 'PUT', `admin/v1/cache/categories/${name}`, body as object);
  const get = async (name: string) => {
    const { json } = await call(admin, 'GET', 'admin/v1/cache/categories');
    return json.data.find((each: Json) => each.name === name);
  };
  const reset = (name: string, key = OPERATOR_KEY) =>
    call(key, 'DELETE', `admin/v1/cache/categories/${name}`);

  it('holds at once, over that of the configuration, until it is taken back', async () => {
    const before = await get('code');
    expect(before).toMatchObject({ source: 'built-in', strictness: 0.8, ttl_seconds: 604_800 });
    const set = await put('code', { strictness: 0.9, adaptive: null, ttl_seconds: 60 });
    expect([set.status, set.json]).toEqual([
      200,
      { ...before, source: 'api', strictness: 0.9, adaptive: null, ttl_seconds: 60 },
    ]);
    expect(await get('code')).toEqual(set.json);
    // As it was told it can be sent back.
    expect((await put('code', { ...set.json, priority: 3 })).json).toEqual({ ...set.json, priority: 3 });
    // What is not given is the configuration's again.
    expect((await put('code', { verify_from: 0.8 })).json).toEqual({
      ...before,
      source: 'api',
      verify_from: 0.8,
    });
    expect((await put('general', { ...(await get('general')), priority: 2 })).json).toMatchObject({
      priority: 2,
    });
    for (const name of ['code', 'general'])
      expect(await reset(name)).toMatchObject({ status: 200, json: { name, deleted: true } });
    expect(await get('code')).toEqual(before);
    const again = await reset('code');
    expect([again.status, again.json.error.code]).toEqual([404, 'cache_category_not_found']);
    const { data } = (await call(OPERATOR_KEY, 'GET', 'admin/v1/audit?subject=cache_category:code')).json;
    expect(data.map(({ action }: Json) => action)).toEqual([
      'cache.category.reset',
      ...Array.from({ length: 3 }, () => 'cache.category.set'),
    ]);
  });

  it('may be a new one, which requests can name', async () => {
    await expect(ask(admin, 'x', { cache: { category: 'birds' } })).rejects.toThrow(/no category 'birds'/);
    const examples = Array.from({ length: 10 }, (_, number) => `Which bird has ${number} feathers?`);
    expect((await put('birds', { examples, ttl_seconds: 60 })).json).toMatchObject({
      source: 'api',
      examples,
    });
    expect((await ask(admin, 'x', { cache: { category: 'birds' } })).state).toMatch(/^miss; category=birds/);
    await put('birds', { enabled: false });
    expect((await ask(admin, 'x', { cache: { category: 'birds' } })).state).toMatch(
      /^bypass; reason=category/,
    );
    await reset('birds');
    await expect(ask(admin, 'x', { cache: { category: 'birds' } })).rejects.toThrow(/no category 'birds'/);
  });

  it.each([
    ['code', { strictness: 1.5 }, 'strictness', 'decimal_above_max_value'],
    ['code', { verify_from: -1 }, 'verify_from', 'decimal_below_min_value'],
    ['code', { ttl_seconds: '1h' }, 'ttl_seconds', 'invalid_type'],
    ['code', { max_entries: 1.5 }, 'max_entries', 'invalid_type'],
    ['code', { priority: 0 }, 'priority', undefined],
    ['code', { adaptive: { least_strictness: 2 } }, 'adaptive.least_similarity_threshold', undefined],
    ['code', { examples: ['one'] }, 'examples', 'invalid_value'],
    ['code', { examples: Array.from({ length: 10 }, () => '') }, 'examples[0]', 'empty_string'],
    ['code', { similarityThreshold: 0.9 }, 'similarityThreshold', 'unsupported_parameter'],
    ['code', { name: 'math' }, 'name', 'invalid_value'],
    ['No%20Name', {}, 'name', 'invalid_value'],
    ['x'.repeat(65), {}, 'name', 'string_above_max_length'],
  ])('is refused where a field is wrong: %s %j', async (name, body, param, code) => {
    const { status, json } = await put(name, body);
    expect([status, json.error.param]).toEqual([400, param]);
    if (code !== undefined) expect(json.error.code).toBe(code);
  });

  it("is no tenant's to set", async () => {
    for (const { status, json } of [await put('code', { priority: 5 }, admin), await reset('code', admin)])
      expect([status, json.error.code]).toEqual([403, 'insufficient_permissions']);
    for (const [path, body] of [
      ['admin/v1/cache/categories/code/preview', { strictness: 0.5 }],
      ['admin/v1/cache/explain', { question: 'Hello?' }],
    ] as const) {
      const refused = await call(admin, 'POST', path, body);
      expect([refused.status, refused.json.error.code]).toEqual([403, 'cache_disabled']);
    }
  });
});
