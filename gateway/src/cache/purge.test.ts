/** What is taken out of the answer cache, and what is told of that. */
import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryDocuments } from '../../../test/support/memory-documents.ts';
import type { BackendModel } from '../backends/backend.ts';
import { AnswerCache } from './answer-cache.ts';
import type { CacheMetrics } from './cache-metrics.ts';
import { CategoryTable } from './categories/category-table.ts';
import { type CacheControls, readControls } from './controls.ts';
import { StoreUnavailable } from './documents/document-store.ts';
import type { StoredAnswer } from './entry.ts';
import type { Question } from './question.ts';
import { ModelJudge } from './verification/model-judge.ts';

const ANSWER: StoredAnswer = {
  choices: [
    {
      ...{ text: 'Yes.', toolCalls: [], reason: 'stop', stopReason: null },
      usage: { promptTokens: 3, completionTokens: 2, cachedPromptTokens: 0 },
    },
  ],
};

let documents: MemoryDocuments;
let cache: AnswerCache;
let told: string[];
let now: number;

beforeEach(() => {
  documents = new MemoryDocuments();
  told = [];
  now = 1_000_000;
  const metrics: CacheMetrics = {
    looked: (result, category) => told.push(`${result} ${category}`),
    embedded: () => {},
    verified: () => {},
    removed: (reason, entries) => told.push(`${reason} ${entries}`),
    reported: () => {},
  };
  const categories = new CategoryTable({
    small: { maxEntries: 2 },
    short: { ttlSeconds: 1, adaptive: null },
  });
  cache = new AnswerCache({
    ...{ categories, documents, metrics, embedder: null, verifier: null, exactBytes: 1 << 20 },
    judge: new ModelJudge(() => {
      throw new Error('nobody is asked');
    }),
    now: () => now,
    logger: pino({ level: 'silent' }),
  });
});

const controls = (fields: object = {}): CacheControls => readControls({ cache: fields }, () => undefined);

function question(text: string, tenant = 'acme', model = 'base'): Question {
  const partition = `${tenant} ${model}`;
  return {
    ...{
      tenant,
      weight: 1,
      cacheSalt: null,
      partition,
      exactKey: `${partition} ${text}`,
      text,
      earlier: null,
      mayBeSimilar: true,
    },
    ...{ temperature: 0, isMultiTurn: false },
    model: { id: model, root: `root of ${model}`, mixture: null } as BackendModel,
  };
}

function keep(asked: Question, fields: { category?: string; tags?: string[] } = {}) {
  const categories = new CategoryTable({
    small: { maxEntries: 2 },
    short: { ttlSeconds: 1, adaptive: null },
  });
  const category = categories.get(fields.category ?? 'general');
  return cache.keep(asked, controls(fields), { category, embedding: null }, ANSWER, 1);
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
    expect(await cache.purge({ tag: 'docs' }, true)).toEqual({ entries: 1, bytes });
    expect([cache.size, documents.documents.size]).toEqual([3, 3]);
    expect(await cache.purge({ tag: 'docs' }, false)).toEqual({ entries: 1, bytes });
    expect(await cache.purge({ tenant: 'globex', model: 'base' }, false)).toEqual({ entries: 1, bytes });
    expect(await cache.purge({ tenant: 'acme', root: 'root of pirate' }, false)).toEqual({
      entries: 0,
      bytes: 0,
    });
    expect([await isThere(mine), await isThere(tagged), await isThere(theirs)]).toEqual([true, false, false]);
    expect([cache.size, documents.documents.size, cache.answers.entries]).toEqual([1, 1, 1]);
    expect(cache.usage('general')).toEqual({ entries: 1, bytes });
    expect(cache.usage('general', 'globex')).toEqual({ entries: 0, bytes: 0 });
    expect(told.filter((line) => line.startsWith('purged'))).toEqual(['purged 1', 'purged 1']);
  });

  it('takes out of the store what is not in memory, in as many pages as it needs', async () => {
    const kept = await keep(question('0'));
    const document = await documents.get(kept.id);
    for (let i = 1; i <= 2_500; i++) {
      await documents.put({ ...document!, id: `id-${i}`, createdAt: i, bytes: 10 });
    }
    await documents.put({ ...document!, id: 'other', tenant: 'globex' });
    const all = { entries: 2_501, bytes: 25_000 + kept.bytes };
    expect(await cache.purge({ tenant: 'acme' }, true)).toEqual(all);
    expect(documents.documents.size).toBe(2_502);
    expect(await cache.purge({ tenant: 'acme' }, false)).toEqual(all);
    expect([...documents.documents.keys()]).toEqual(['other']);
  });

  it('takes out what is in memory where the store is away, and tells', async () => {
    await keep(question('1'));
    documents.isAway = true;
    await expect(cache.purge({}, false)).rejects.toThrow(StoreUnavailable);
    expect(cache.size).toBe(0);
    documents.isAway = false;
    expect(await cache.purge({}, false)).toMatchObject({ entries: 1 });
  });
});

it('each entry that goes is told with its reason', async () => {
  for (const text of ['1', '2', '3']) await keep(question(text), { category: 'small' });
  await keep(question('4'), { category: 'short' });
  await keep(question('5'));
  await keep(question('5'));
  const outdated = await keep(question('6'));
  await cache.remove([outdated.id, 'not there'], 'outdated');
  now += 2_000;
  cache.sweep();
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
  const document = await documents.get(old.id);
  await cache.purge({}, false);
  now += 1;
  const newer = await keep(question('1'));
  cache.restore({ ...document!, hits: 0 });
  expect(await cache.find(question('1'), controls())).toMatchObject({ kind: 'hit', entry: { id: newer.id } });
  cache.dropped([old.id]);
  expect(await isThere(question('1'))).toBe(true);
});
