import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../../../test/support/gateway.ts';
import { MemoryDocuments } from '../../../test/support/memory-documents.ts';
import type { BackendModel } from '../backends/backend.ts';
import { StartingBackend } from '../backends/starting.ts';
import { Metrics } from '../metrics.ts';
import type { JsonObject } from '../openai/fields.ts';
import { SteadyClock } from '../steady-clock.ts';
import { CacheHost, type CacheSettings } from './cache-host.ts';
import { StoreUnavailable } from './documents/document-store.ts';
import type { CacheDocument } from './entry.ts';

let documents: MemoryDocuments;
let metrics: Metrics;
let host: CacheHost;
let categories: Pick<CacheSettings, 'cacheModelCategories' | 'cacheRouteCategories'>;

beforeEach(async () => {
  documents = new MemoryDocuments();
  metrics = new Metrics(new Registry());
  categories = { cacheModelCategories: {}, cacheRouteCategories: {} };
  for (const [id, tenant] of [
    ['mine', 'acme'],
    ['theirs', 'globex'],
  ] as const) {
    await documents.put(documentOf(id, tenant));
  }
  host = await CacheHost.open({
    ...{ documents, embedder: null, verifier: null, exactBytes: 1 << 20, lookupMilliseconds: 100 },
    createIndex: () => {
      throw new Error('nothing similar is looked for');
    },
    server: 'test',
    backend: () => new StartingBackend(),
    settings: () => ({ cacheCategories: {}, ...categories, cacheTargetQueueMs: 500 }),
    clock: new SteadyClock(),
    metrics: metrics.cache,
    logger: pino({ level: 'silent' }),
  });
  metrics.setCache(host);
});
afterEach(() => host.close());

function documentOf(id: string, tenant: string): CacheDocument {
  const now = Date.now();
  return {
    ...{
      id,
      tenant,
      partition: tenant,
      exactKey: id,
      model: 'base',
      root: 'root',
      category: 'code',
      tags: [],
    },
    ...{ createdAt: now, expiresAt: now + 7 * 86_400_000, bytes: 100, computeSeconds: 1 },
    ...{ promptTokens: 1, completionTokens: 1, question: 'q', vector: null, encoder: null, signature: null },
    answer: { choices: [] },
  };
}

const rendered = async () => (await metrics.render(new StartingBackend())).text;

describe('a report', () => {
  it('takes out an entry of its tenant, and counts once', async () => {
    expect(await host.report('mine', 'acme')).toBe(true);
    expect(await host.report('mine', 'acme')).toBe(true);
    expect(await rendered()).toContain('polylora_cache_reports_total{category="code"} 1');
    expect([...documents.documents.keys()]).toEqual(['theirs']);
    expect(host.cache.entry('mine')).toBe(null);
  });

  it("of another's entry, or of none, finds nothing, before and after it was reported", async () => {
    expect(await host.report('theirs', 'acme')).toBe(false);
    expect(await host.report('none', 'acme')).toBe(false);
    expect(await host.report('theirs', null)).toBe(true);
    expect(await host.report('theirs', 'acme')).toBe(false);
    expect(await host.report('theirs', 'globex')).toBe(true);
  });

  it('can be made again where the store was away, and still counts once', async () => {
    documents.isAway = true;
    await expect(host.report('mine', 'acme')).rejects.toThrow(StoreUnavailable);
    documents.isAway = false;
    expect(await host.report('mine', 'acme')).toBe(true);
    expect(documents.documents.has('mine')).toBe(false);
    expect(await rendered()).toContain('polylora_cache_reports_total{category="code"} 1');
  });
});

it('a category is what the request says, then the model, then the route', () => {
  const model = { id: 'acme/sql', parent: 'base', mixture: null } as BackendModel;
  const header = () => undefined;
  const of = (body: JsonObject) => host.controls(body, model, '/v1/completions', header).category;
  expect(of({})).toBe(null);
  categories = { ...categories, cacheRouteCategories: { '/v1/completions': 'math' } };
  expect(of({})).toBe('math');
  expect(host.controls({}, model, '/v1/responses', header).category).toBe(null);
  categories = { ...categories, cacheModelCategories: { 'acme/*': 'code' } };
  expect(of({})).toBe('code');
  expect(of({ cache: { category: 'factual' } })).toBe('factual');
});

it('tells whether its store is there', async () => {
  expect(await rendered()).toMatch(/^polylora_cache_store_up 1$/m);
  documents.isAway = true;
  await until(() => !host.isStoreUp);
  expect(await rendered()).toMatch(/^polylora_cache_store_up 0$/m);
  documents.isAway = false;
  await until(() => host.isStoreUp);
});

it('tells in metrics how it is now', async () => {
  host.categories.adjust('code', { thresholdOffset: 0.02 });
  const text = await rendered();
  for (const line of [
    'polylora_cache_entries{category="code"} 2',
    'polylora_cache_bytes{category="code"} 200',
    'polylora_cache_similarity_threshold{category="code"} 0.9400000000000001',
    'polylora_cache_relaxation 0',
    'polylora_cache_flights 0',
  ]) {
    expect(text).toContain(`${line}\n`);
  }
  expect(text).not.toMatch(/^polylora_cache_(index_entries|false_hit_rate|break_even_hit_rate)/m);
});

it('without a cache there are no gauges of one', async () => {
  const { text } = await new Metrics(new Registry()).render(new StartingBackend());
  expect(text).not.toMatch(/^polylora_cache_(?!\w+_total)/m);
});
