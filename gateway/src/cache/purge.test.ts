/** What is taken out of the answer cache, and what is told of that. */
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ANSWER, controls, question } from '../../../test/support/cache-question.ts';
import { type CacheStore, openCacheStore } from '../../../test/support/cache-store.ts';
import { AnswerCache } from './answer-cache.ts';
import type { CacheMetrics } from './cache-metrics.ts';
import { CategoryTable } from './categories/category-table.ts';
import { StoreUnavailable } from './documents/document-store.ts';
import type { StoredAnswer } from './entry.ts';
import type { Question } from './question.ts';
import { ModelJudge } from './verification/model-judge.ts';

const OWN = {
  small: { maxEntries: 2 },
  short: { ttlSeconds: 1, adaptive: null },
};

let store: CacheStore;
let categories: CategoryTable;
let cache: AnswerCache;
let told: string[];
let now: number;

beforeEach(async () => {
  store = await openCacheStore();
  told = [];
  now = 1_000_000;
  const metrics: CacheMetrics = {
    looked: (result, category) => told.push(`${result} ${category}`),
    embedded: () => {},
    verified: () => {},
    removed: (reason, entries) => told.push(`${reason} ${entries}`),
    reported: () => {},
  };
  categories = new CategoryTable(OWN);
  cache = new AnswerCache({
    ...{
      categories,
      documents: store.documents,
      metrics,
      embedder: null,
      verifier: null,
      exactBytes: 1 << 20,
    },
    judge: new ModelJudge(() => {
      throw new Error('nobody is asked');
    }),
    now: () => now,
    logger: pino({ level: 'silent' }),
  });
});

afterEach(() => store.close());

async function keep(asked: Question, fields: { category?: string; tags?: string[] } = {}) {
  const category = new CategoryTable(OWN).get(fields.category ?? 'general');
  const kept = await cache.keep(asked, controls(fields), { category, embedding: null }, ANSWER, 1);
  if (kept === null) throw new Error('it was not kept');
  return kept;
}

async function isThere(asked: Question): Promise<boolean> {
  return (await cache.find(asked, controls())).kind === 'hit';
}

describe('a purge', () => {
  it('takes out what matches, in memory, in the store and by its exact request', async () => {
    const [mine, tagged, theirs] = [question('1'), question('2'), question('1', 'globex')];
    const { bytes } = await keep(mine);
    await keep(tagged, { tags: ['docs'] });
    await keep(theirs);
    expect(await cache.kept.purge({ tag: 'docs' }, true)).toEqual({ entries: 1, bytes });
    expect([cache.size, (await store.ids()).length]).toEqual([3, 3]);
    expect(await cache.kept.purge({ tag: 'docs' }, false)).toEqual({ entries: 1, bytes });
    expect(await cache.kept.purge({ tenant: 'globex', model: 'base' }, false)).toEqual({ entries: 1, bytes });
    expect(await cache.kept.purge({ tenant: 'acme', root: 'root of pirate' }, false)).toEqual({
      entries: 0,
      bytes: 0,
    });
    expect([await isThere(mine), await isThere(tagged), await isThere(theirs)]).toEqual([true, false, false]);
    expect([cache.size, (await store.ids()).length, cache.answers.entries]).toEqual([1, 1, 1]);
    expect(cache.usage('general')).toEqual({ entries: 1, bytes });
    expect(cache.usage('general', 'globex')).toEqual({ entries: 0, bytes: 0 });
    expect(told.filter((line) => line.startsWith('purged'))).toEqual(['purged 1', 'purged 1']);
  });

  it('takes out of the store what is not in memory, in as many pages as it needs', async () => {
    const { documents } = store;
    const kept = await keep(question('0'));
    const document = await documents.get(kept.id);
    const others = Array.from({ length: 2_500 }, (_, index) => ({
      ...document!,
      ...{ id: `id-${index}`, createdAt: index, bytes: 10 },
    }));
    const foreign = { ...document!, id: 'other', tenant: 'globex' };
    await Promise.all([...others, foreign].map((each) => documents.put(each)));
    const all = { entries: 2_501, bytes: 25_000 + kept.bytes };
    expect(await cache.kept.purge({ tenant: 'acme' }, true)).toEqual(all);
    expect(await store.ids()).toHaveLength(2_502);
    expect(await cache.kept.purge({ tenant: 'acme' }, false)).toEqual(all);
    expect(await store.ids()).toEqual(['other']);
  });

  it('takes out what is in memory where the store is away, and tells', async () => {
    await keep(question('1'));
    await store.whileHeld(async () => {
      await expect(cache.kept.purge({}, false)).rejects.toThrow(StoreUnavailable);
    });
    expect(cache.size).toBe(0);
    const purged = () => cache.kept.purge({}, false).catch(() => null);
    await expect.poll(purged, { timeout: 10_000 }).toMatchObject({ entries: 1 });
  });
});

it('each entry that goes is told with its reason', async () => {
  for (const text of ['1', '2', '3']) await keep(question(text), { category: 'small' });
  await keep(question('4'), { category: 'short' });
  await keep(question('5'));
  await keep(question('5'));
  const outdated = await keep(question('6'));
  await cache.kept.remove([outdated.id, 'not there'], 'outdated');
  now += 2_000;
  await cache.kept.sweep();
  expect(told).toEqual(['quota 1', 'replaced 1', 'outdated 1', 'expired 1']);
});

it('an answer that was not looked for counts as none that was not there', async () => {
  await keep(question('1'));
  await cache.find(question('1'), controls());
  await cache.find(question('2'), controls());
  await cache.find(question('1'), controls({ 'no-cache': true }));
  await cache.find(question('1'), controls({ category: 'medical' }));
  expect(told).toEqual(['hit_exact general', 'miss general', 'bypass general', 'bypass medical']);
  expect(cache.economics.of('general', 'acme')).toMatchObject({ exactHits: 1, misses: 1, bypasses: 1 });
});

it('an older entry that the store tells of late does not hide the newer of the same request', async () => {
  const old = await keep(question('1'));
  const document = await store.documents.get(old.id);
  await cache.kept.purge({}, false);
  now += 1;
  const newer = await keep(question('1'));
  cache.kept.restore({ ...document!, hits: 0 });
  expect(await cache.find(question('1'), controls())).toMatchObject({ kind: 'hit', entry: { id: newer.id } });
  cache.kept.dropped(old.id);
  expect(await isThere(question('1'))).toBe(true);
});

describe('what is taken out', () => {
  it('is, by the thousand, between what others do', async () => {
    const { id } = await keep(question('0'));
    const document = await store.documents.get(id);
    for (let i = 0; i < 5_000; i++) {
      cache.kept.restore({ ...document!, id: `id-${i}`, exactKey: `${i}`, category: 'short', hits: 0 });
    }
    now += 2_000;
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 0);
    await cache.kept.sweep();
    clearInterval(timer);
    expect(cache.size).toBe(1);
    expect(turns).toBeGreaterThan(2);
    const counts = told.map((line) => Number(line.replace('expired ', '')));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(5_000);
    expect(Math.max(...counts)).toBeLessThanOrEqual(1_000);
  });

  it('leaves no answer behind that nobody can find', async () => {
    const huge: StoredAnswer = { choices: [{ ...ANSWER.choices[0]!, text: 'x'.repeat(10_000) }] };
    categories.configure({ ...OWN, small: { maxBytes: 1_000 } });
    const category = categories.get('small');
    await cache.keep(question('1'), controls(), { category, embedding: null }, huge, 1);
    expect([cache.size, cache.answers.entries, await store.ids()]).toEqual([0, 0, []]);
    // Its answer is read from the store while it is taken out.
    const kept = await keep(question('2'));
    const document = await store.documents.get(kept.id);
    await cache.kept.purge({}, false);
    await store.documents.put(document!);
    cache.kept.restore({ ...document!, hits: 0 });
    const found = cache.find(question('2'), controls());
    cache.kept.dropped(kept.id);
    await found;
    expect(cache.answers.entries).toBe(0);
  });

  it('is what a category has that is switched off, and what is made for it meanwhile is not kept', async () => {
    await keep(question('1'), { category: 'small' });
    const { id } = await keep(question('2'));
    const document = await store.documents.get(id);
    categories.configure({ ...OWN, small: { enabled: false } });
    await expect(keep(question('3'), { category: 'small' })).rejects.toThrow('it was not kept');
    expect(cache.kept.restore({ ...document!, id: 'from before', category: 'small', hits: 0 })).toBe(false);
    await cache.kept.sweep();
    expect(told).toEqual(['disabled 1']);
    expect(await store.ids()).toEqual([id]);
  });
});

it('an entry is found by its id where only the store has it, by its own tenant', async () => {
  const { id } = await keep(question('1'));
  expect(await cache.head(id, 'acme')).toMatchObject({ id, tenant: 'acme' });
  cache.kept.dropped(id);
  expect(await cache.head(id, 'acme')).toMatchObject({ id, tenant: 'acme' });
  expect(await cache.head(id, null)).toMatchObject({ id });
  expect(await cache.head(id, 'globex')).toBe(null);
  for (const none of ['none', '', 'a\0b']) expect(await cache.head(none, null)).toBe(null);
  expect(await cache.kept.purge({ id: 'a\0b' }, false)).toEqual({ entries: 0, bytes: 0 });
  expect(await cache.kept.purge({ id, tenant: 'globex' }, false)).toMatchObject({ entries: 0 });
  expect(await cache.kept.purge({ id }, true)).toMatchObject({ entries: 1 });
  expect(await cache.kept.purge({ id }, false)).toMatchObject({ entries: 1 });
  expect(await store.ids()).toEqual([]);
});

it('an answer is found under the name of a category that its own stands for', async () => {
  categories.configure({ ...OWN, orders: {} });
  await cache.keep(
    question('1'),
    controls(),
    { category: categories.get('orders'), embedding: null },
    ANSWER,
    1,
  );
  const asks = async (category: string) => (await cache.find(question('1'), controls({ category }))).kind;
  expect([await asks('orders'), await asks('general')]).toEqual(['hit', 'miss']);
  // It is gone, and what it had is treated as general.
  categories.configure(OWN);
  expect(await asks('general')).toBe('hit');
});

it('tells what there are answers of', async () => {
  const kept = await keep(question('1'));
  await keep(question('2'));
  await keep(question('1', 'globex', 'pirate'));
  const base = { model: 'base', root: 'root of base' };
  expect(cache.kept.versions()).toEqual([base, { model: 'pirate', root: 'root of pirate' }]);
  cache.kept.dropped(kept.id);
  await cache.kept.purge({ model: 'pirate' }, false);
  expect(cache.kept.versions()).toEqual([base]);
});
