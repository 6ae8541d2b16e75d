/** The answer cache as operators see it where questions are embedded: what finds similar ones, and why a hit was one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cacheClient, type Json, series } from '../support/cache-client.ts';
import { type Gateway, START_MILLISECONDS, startGateway } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const data = mkdtempSync(join(tmpdir(), 'polylora-cache-semantic-'));
let gateway: Gateway;
const { call, ask, metrics } = cacheClient(() => gateway);
beforeAll(async () => {
  gateway = await startGateway({
    args: ['--cache', 'semantic', '--cache-lookup-ms', '2000', '--data-directory', data],
    env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY },
  });
}, START_MILLISECONDS);
afterAll(async () => {
  await gateway?.stop();
  rmSync(data, { recursive: true, force: true });
});

it("without keys the configuration's operator key alone signs in to the dashboard", async () => {
  const signIn = (key: string) =>
    fetch(`${gateway.url}/admin/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ key }),
    });
  expect((await signIn('mine')).status).toBe(401);
  const answer = await signIn(OPERATOR_KEY);
  const session = (await answer.json()) as Json;
  expect(session).toMatchObject({
    ...{ role: 'operator', tenant: null, key: null },
    server: { checks_keys: false, cache: 'semantic', backend: 'engine', model: expect.any(String) },
  });
  const [cookie = ''] = (answer.headers.get('set-cookie') ?? '').split(';');
  const purge = (headers: Record<string, string>) =>
    fetch(`${gateway.url}/admin/v1/cache/purge`, {
      method: 'POST',
      headers: { cookie, 'content-type': 'application/json', ...headers },
      body: '{"all":true,"dry_run":true}',
    });
  expect((await fetch(`${gateway.url}/admin/v1/cache`, { headers: { cookie } })).status).toBe(200);
  expect((await purge({})).status).toBe(403);
  expect((await purge({ 'x-csrf-token': session.csrf })).status).toBe(200);
  expect((await fetch(`${gateway.url}/admin/v1/cache`, { headers: { cookie: `${cookie}x` } })).status).toBe(
    401,
  );
});

it('questions can be classified, and are found by what they ask for', async () => {
  const { status, json } = await call(OPERATOR_KEY, 'POST', 'admin/v1/cache/classify', {
    text: 'How do I reverse a list in Python?',
  });
  expect([status, json.category]).toEqual([200, 'code']);
  expect(json.similarities[0]).toEqual({ category: 'code', similarity: expect.any(Number) });
  expect(json.similarities).toHaveLength(9);
  for (const [body, param] of [
    [{}, 'text'],
    [{ text: '' }, 'text'],
    [{ text: 'x', category: 'code' }, 'category'],
  ] as const) {
    const refused = await call(OPERATOR_KEY, 'POST', 'admin/v1/cache/classify', body);
    expect([refused.status, refused.json.error.param]).toEqual([400, param]);
  }

  const cache = { category: 'factual' };
  await ask('mine', 'What is the largest desert in South America?', { cache });
  const similar = await ask('mine', "What's the largest desert in South America?", { cache });
  expect(similar.state).toMatch(/^hit; level=similar/);
  const whole = (await call(OPERATOR_KEY, 'GET', 'admin/v1/cache')).json;
  expect(whole).toMatchObject({
    ...{ finds: 'similar', embedding: { state: 'ready' }, entries: 1, index: { entries: 1 } },
  });
  const factual = whole.categories.find(({ name }: Json) => name === 'factual');
  expect(factual).toMatchObject({ hits: { similar: 1 }, false_hits: { low: 0, high: 1, checked: 0 } });
  const text = await metrics();
  expect(series(text, 'polylora_cache_index_entries ')).toBe(1);
  expect(series(text, 'polylora_cache_index_bytes ')).toBeGreaterThan(384);
  expect(series(text, 'polylora_cache_embedding_seconds_count{outcome="made"}')).toBe(2);
  expect(series(text, 'polylora_cache_verification_seconds_count{by="verifier",outcome="same"}')).toBe(1);
  expect(series(text, 'polylora_cache_lookup_seconds_count{result="hit_similar",category="factual"}')).toBe(
    1,
  );

  const [hit] = (await call(OPERATOR_KEY, 'GET', 'admin/v1/cache/hits')).json.data;
  expect(hit).toMatchObject({
    ...{ level: 'similar', category: 'factual', entry_id: similar.id, threshold: 0.72, strictness: 0.75 },
    ...{ question: null, entry_question: 'What is the largest desert in South America?' },
  });
  expect(similar.state).toContain(`similarity=${hit.similarity.toFixed(3)}`);
  expect(hit.probability).toBeGreaterThanOrEqual(0.75);
  const explain = (body: object) => call(OPERATOR_KEY, 'POST', 'admin/v1/cache/explain', body);
  const why = await explain({
    question: "What's the largest desert in South America?",
    category: 'factual',
  });
  expect([why.status, why.json]).toEqual([
    200,
    {
      ...{ category: 'factual', classified_by: 'request', threshold: 0.72, strictness: 0.75 },
      candidates: [
        {
          ...{ entry_id: similar.id, question: hit.entry_question, similarity: hit.similarity },
          ...{ probability: hit.probability, is_hit: true, because: expect.stringContaining('verified') },
        },
      ],
    },
  ]);
  expect((await explain({ question: 'How do I reverse a list in Python?' })).json).toMatchObject({
    ...{ category: 'code', classified_by: 'classifier', strictness: 0.8 },
    candidates: [{ is_hit: false, because: expect.stringMatching(/^It is not near enough/) }],
  });
  expect((await explain({ question: 'Hello?', tenant: 'nobody' })).json.candidates).toEqual([]);
  for (const [body, param] of [
    [{}, 'question'],
    [{ question: 'x', category: 'none' }, 'category'],
    [{ question: 'word '.repeat(2_000) }, 'question'],
    [{ question: 'x', model: '' }, 'model'],
  ] as const) {
    const refused = await explain(body);
    expect([refused.status, refused.json.error.param]).toEqual([400, param]);
  }
  const preview = (name: string, body: object) =>
    call(OPERATOR_KEY, 'POST', `admin/v1/cache/categories/${name}/preview`, body);
  expect((await preview('factual', { strictness: 1 })).json).toEqual({
    lookups: 2,
    hits_now: 1,
    hits_then: 0,
  });
  expect((await preview('factual', {})).json).toEqual({ lookups: 2, hits_now: 1, hits_then: 1 });
  expect((await preview('factual', { strictness: 2 })).json.error.param).toBe('strictness');
  expect((await preview('factual', { ttl_seconds: 2 })).json.error.param).toBe('ttl_seconds');
  expect((await preview('none', {})).json.error.code).toBe('cache_category_not_found');

  // Without keys each token is a tenant; only the operator's key administers.
  expect((await call('theirs', 'POST', `v1/cache/entries/${similar.id}/report`)).status).toBe(404);
  expect((await call('mine', 'GET', 'admin/v1/cache')).status).toBe(401);
  expect((await call('mine', 'POST', `v1/cache/entries/${similar.id}/report`)).status).toBe(200);
  const after = await metrics();
  expect(series(after, 'polylora_cache_reports_total{category="factual"}')).toBe(1);
  // Who reports has chosen what to look at: that says nothing of a share.
  expect(after).not.toContain('polylora_cache_false_hit_rate{');
  expect(series(after, 'polylora_cache_false_hit_checks{category="factual"}')).toBe(0);
  const { categories } = (await call(OPERATOR_KEY, 'GET', 'admin/v1/cache')).json;
  expect(categories.find(({ name }: Json) => name === 'factual')).toMatchObject({
    ...{ reports: 1, false_hits: { checked: 0 } },
  });
  expect(series(after, 'polylora_cache_index_entries ')).toBe(0);
});
