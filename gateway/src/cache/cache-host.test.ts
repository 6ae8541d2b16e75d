import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Database, openDatabase } from '@polylora/adapters-store';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CacheStore, openCacheStore } from '../../../test/support/cache-store.ts';
import { startDoor } from '../../../test/support/door.ts';
import { until } from '../../../test/support/gateway.ts';
import { HAS_REDIS, startRedis } from '../../../test/support/redis.ts';
import type { BackendModel } from '../backends/backend.ts';
import { StartingBackend } from '../backends/starting.ts';
import { Metrics } from '../metrics/metrics.ts';
import type { JsonObject } from '../openai/fields.ts';
import { SteadyClock } from '../steady-clock.ts';
import { CacheHost, type CacheSettings } from './cache-host.ts';
import { StoredCategories } from './categories/stored-categories.ts';
import { type DocumentStore, StoreUnavailable } from './documents/document-store.ts';
import { openDocuments } from './documents/open.ts';
import type { CacheDocument } from './entry.ts';

let store: CacheStore;
let metrics: Metrics;
let host: CacheHost;
let folder: string;
let database: Database;
let cacheCategories: CacheSettings['cacheCategories'];
let categories: Pick<CacheSettings, 'cacheModelCategories' | 'cacheRouteCategories'>;

beforeEach(async () => {
  store = await openCacheStore();
  folder = await mkdtemp(join(tmpdir(), 'polylora-host-'));
  database = await openDatabase(join(folder, 'polylora.db'));
  metrics = new Metrics();
  categories = { cacheModelCategories: {}, cacheRouteCategories: {} };
  cacheCategories = {};
  await Promise.all([
    store.documents.put(documentOf({ id: 'mine', tenant: 'acme' })),
    store.documents.put(documentOf({ id: 'theirs', tenant: 'globex' })),
  ]);
  host = await open();
  metrics.setCache(host);
});
afterEach(async () => {
  await host.close();
  await store.close();
  await database.destroy();
  await rm(folder, { recursive: true });
});

async function open(documents: DocumentStore = store.documents): Promise<CacheHost> {
  return CacheHost.open({
    stored: await StoredCategories.open({ database, now: Date.now, logger: pino({ level: 'silent' }) }),
    ...{ documents, embedder: null, verifier: null, exactBytes: 1 << 20, lookupMilliseconds: 100 },
    createIndex: () => {
      throw new Error('nothing similar is looked for');
    },
    server: 'test',
    backend: () => new StartingBackend(),
    settings: () => ({ cacheCategories, ...categories, cacheTargetQueueMs: 500, logPrompts: 'no' }),
    clock: new SteadyClock(),
    metrics: metrics.cache,
    logger: pino({ level: 'silent' }),
  });
}

function documentOf(values: Partial<CacheDocument> & Pick<CacheDocument, 'id'>): CacheDocument {
  const now = Date.now();
  return {
    ...{ server: 'test', tenant: 'acme', partition: 'p', exactKey: values.id, model: 'base', root: 'root' },
    ...{ category: 'code', tags: [], createdAt: now, expiresAt: now + 7 * 86_400_000, bytes: 100 },
    ...{ computeSeconds: 1, promptTokens: 1, completionTokens: 1, question: 'q' },
    ...{ vector: null, encoder: null, signature: null, answer: { choices: [] } },
    ...values,
  };
}

/** The same store, of which some is done in another way. */
function withOther(documents: DocumentStore, other: Partial<DocumentStore>): DocumentStore {
  return new Proxy(documents, {
    get(target, name) {
      const method: unknown = Reflect.get(other, name) ?? Reflect.get(target, name);
      return typeof method === 'function' ? method.bind(target) : method;
    },
  });
}

const rendered = () => metrics.render(new StartingBackend(), 'text');

describe('a report', () => {
  it('takes out an entry of its tenant, and counts once', async () => {
    expect(await host.report('mine', 'acme')).toBe(true);
    expect(await host.report('mine', 'acme')).toBe(true);
    expect(await rendered()).toContain('polylora_cache_reports_total{category="code"} 1');
    expect(await store.ids()).toEqual(['theirs']);
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
    await store.whileHeld(async () => {
      await expect(host.report('mine', 'acme')).rejects.toThrow(StoreUnavailable);
    });
    await until(() => host.report('mine', 'acme').catch(() => false));
    expect(await store.ids()).toEqual(['theirs']);
    expect(await rendered()).toContain('polylora_cache_reports_total{category="code"} 1');
  });
});

describe('a category that an administrator sets', () => {
  const of = (each: CacheHost, name: string) => {
    const { strictness, priority, ttlSeconds } = each.categories.get(name);
    return { strictness, priority, ttlSeconds, source: each.sourceOf(name) };
  };

  it('is over that of the configuration, which counts again without it', async () => {
    cacheCategories = { code: { strictness: 0.6, priority: 7 } };
    host.configure();
    const configured = { strictness: 0.6, priority: 7, ttlSeconds: 7 * 86_400, source: 'file' };
    expect(of(host, 'code')).toEqual(configured);
    await host.setCategory('code', { strictness: 0.5 }, 'operator');
    expect(of(host, 'code')).toEqual({ ...configured, strictness: 0.5, source: 'api' });
    // A reload of the configuration leaves it.
    cacheCategories = { code: { strictness: 0.6, priority: 8 } };
    host.configure();
    expect(of(host, 'code')).toEqual({ ...configured, strictness: 0.5, priority: 8, source: 'api' });
    expect(await host.resetCategory('code', 'operator')).toBe(true);
    expect(of(host, 'code')).toEqual({ ...configured, priority: 8 });
    expect(await host.resetCategory('code', 'operator')).toBe(false);
  });

  it('reaches another server of the database by itself, and what it switches off goes there, too', async () => {
    const other = await open();
    try {
      await host.setCategory('code', { enabled: false }, 'operator');
      await until(() => !other.categories.get('code').enabled && other.cache.size === 0);
      expect(await store.ids()).toEqual([]);
      await host.setCategory('mine', { priority: 3 }, 'operator');
      await until(() => other.categories.has('mine'));
      expect(of(other, 'mine')).toMatchObject({ priority: 3, source: 'api' });
    } finally {
      await other.close();
    }
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

it.skipIf(!HAS_REDIS)('tells whether its store is there', async () => {
  const redis = await startRedis();
  const door = await startDoor(redis.url);
  const far = await open(await openDocuments(door.url, pino({ level: 'silent' })));
  metrics.setCache(far);
  await until(() => far.isStoreUp);
  expect(await rendered()).toMatch(/^polylora_cache_store_up 1$/m);
  door.shut();
  await until(() => !far.isStoreUp);
  expect(await rendered()).toMatch(/^polylora_cache_store_up 0$/m);
  door.open();
  await until(() => far.isStoreUp);
  await far.close();
  await door.close();
  await redis.stop();
});

describe('of what is in its store', () => {
  it('another server’s is left alone, and its own that is of no use any more goes', async () => {
    await host.close();
    await store.close();
    store = await openCacheStore();
    const past = { createdAt: 0, expiresAt: 1 };
    const documents = [
      documentOf({ id: 'mine' }),
      documentOf({ id: 'expired', ...past }),
      documentOf({ id: 'off', category: 'medical' }),
      documentOf({ id: 'theirs', server: 'another' }),
      documentOf({ id: 'theirs, expired', server: 'another', ...past }),
      documentOf({ id: 'theirs, off', server: 'another', category: 'medical' }),
    ];
    await Promise.all(documents.map((each) => store.documents.put(each)));
    host = await open();
    expect(host.cache.size).toBe(1);
    expect(await store.ids()).toEqual(['mine', 'theirs', 'theirs, expired', 'theirs, off']);
  });

  it('what leaves while it is read is not brought back by that', async () => {
    let hasRead = () => {};
    let answer = () => {};
    const read = new Promise<void>((resolve) => {
      hasRead = resolve;
    });
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const other = await open(
      withOther(store.documents, {
        async changes(after, limit) {
          const changes = await store.documents.changes(after, limit);
          if (!changes?.some((change) => change.kind === 'put' && change.head.id === 'late')) return changes;
          hasRead();
          await answered;
          return changes;
        },
        close: async () => {},
      }),
    );
    try {
      await store.documents.put(documentOf({ id: 'late' }));
      await read;
      expect(await other.report('late', 'acme')).toBe(true);
      answer();
      for (let turn = 0; turn < 10; turn++) {
        await nextTurn();
        expect(other.cache.entry('late')).toBeNull();
      }
    } finally {
      await other.close();
    }
  });

  it('nothing stays of a category that is switched off, whenever the store takes that', async () => {
    cacheCategories = { code: { enabled: false } };
    await store.whileHeld(async () => {
      host.configure();
      await until(() => host.cache.size === 0);
      // The store is given up on.
      await until(async () => !(await store.ids().catch(() => null)));
    });
    await until(async () => {
      host.configure();
      const left = await store.ids().catch(() => null);
      return left?.length === 0;
    });
  });
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
  const text = await new Metrics().render(new StartingBackend(), 'text');
  expect(text).not.toMatch(/^polylora_cache_(?!\w+_total)/m);
});
