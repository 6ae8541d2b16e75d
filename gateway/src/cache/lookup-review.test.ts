/** What is told of questions is what happens to them: by the real embedding model and the real verifier. */
import type { Embedder } from '@polylora/engine';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openAnswerCache } from '../../../test/support/answer-cache.ts';
import { ANSWER, controls, question } from '../../../test/support/cache-question.ts';
import { type CacheStore, openCacheStore } from '../../../test/support/cache-store.ts';
import { startEmbedder } from '../../../test/support/embedder.ts';
import type { AnswerCache } from './answer-cache.ts';
import { CategoryTable } from './categories/category-table.ts';
import { TokenVerifier } from './verification/token-verifier.ts';
import type { Verifier } from './verification/verifier.ts';

const KEPT = [
  'How do I reset my password?',
  'What is the capital of France?',
  'How long does shipping take?',
];
const ASKED = [
  ...KEPT,
  'How can I reset my password?',
  'How do I reset my username?',
  'What is the capital city of France?',
  'What is the capital of Spain?',
  'how long does shipping take',
  'How much does shipping cost?',
  'Who wrote Hamlet?',
];
const CATEGORIES = ['general', 'loose', 'strict', 'off'] as const;

let embedder: Embedder;
let store: CacheStore;
let categories: CategoryTable;
let now: number;

beforeAll(async () => {
  embedder = await startEmbedder('int8');
  await embedder.load();
}, 120_000);
afterAll(() => embedder.close());
beforeEach(async () => {
  store = await openCacheStore();
  now = 1_000_000;
  categories = new CategoryTable({
    loose: { strictness: 0, similarityThreshold: 0.6 },
    strict: { similarityThreshold: 0.98, verifyFrom: 0.97, strictness: 0.99 },
    off: { enabled: false },
  });
});
afterEach(() => store.close());

const open = (verifier: Verifier | null): AnswerCache =>
  openAnswerCache({ embedder, store, categories, verifier, now: () => now });

/** Looks for an answer, and keeps one where there is none. */
async function ask(cache: AnswerCache, text: string, category: string, tenant = 'acme') {
  now += 1_000;
  const asked = [question(text, tenant), controls({ category })] as const;
  const found = await cache.find(...asked);
  if (found.kind === 'miss') await cache.keep(...asked, found, ANSWER, 1);
  return found;
}

async function explain(cache: AnswerCache, text: string, name: string, more: object = {}) {
  const [embedding] = await embedder.embed({ inputs: [text], truncate: 'model', signature: true });
  return cache.review.explain({
    ...{
      text,
      embedding: embedding!,
      category: categories.get(name),
      controls: controls({ category: name }),
    },
    ...{ tenant: 'acme', model: null, ...more },
  });
}

describe('an explanation', () => {
  it.each([
    ['verification', (): Verifier | null => new TokenVerifier()],
    ['the threshold alone', (): Verifier | null => null],
  ] as const)('says what a request finds, with %s', async (_, verifier) => {
    const cache = open(verifier());
    // A tenant for each: of the same request there is one answer.
    for (const category of CATEGORIES) for (const text of KEPT) await ask(cache, text, category, category);
    const outcomes = new Set<string>();
    for (const category of CATEGORIES) {
      for (const text of ASKED) {
        const told = await explain(cache, text, category, { tenant: category });
        // Nothing is kept of it, so that the next one finds no more. Of what is equal only the similarity is of interest here.
        const asked = { ...question(text, category), exactKey: 'another' };
        const found = await cache.find(asked, controls({ category }));
        const hits = told.filter(({ isHit }) => isHit);
        const expected = found.kind === 'hit' ? [found.entry.id] : [];
        expect([category, text, hits.map(({ entry }) => entry.id)]).toEqual([category, text, expected]);
        if (found.kind === 'hit') {
          expect(hits[0]?.similarity).toBe(found.similarity);
          if (found.probability !== null) expect(hits[0]?.probability).toBe(found.probability);
        }
        outcomes.add(`${category} ${found.kind}`);
        for (const { because, question: kept } of told) {
          expect(because).toMatch(/\.$/);
          expect(KEPT).toContain(kept);
        }
      }
    }
    // All that can happen has.
    expect(outcomes).toContain('loose hit');
    expect(outcomes).toContain('general miss');
    expect(outcomes).toContain('off bypass');
    expect(outcomes.has('general hit')).toBe(verifier() !== null);
  });

  it('says why', async () => {
    const cache = open(new TokenVerifier());
    for (const text of KEPT) await ask(cache, text, 'general');
    const because = async (text: string, category = 'general') =>
      (await explain(cache, text, category)).map((each) => each.because);
    const [same, ...others] = await because('How can I reset my password?');
    expect(same).toMatch(
      /^It is near enough \(0\.9\d\d of 0\.720\), and verified to ask for the same \(0\.\d\d of 0\.75\)\.$/,
    );
    for (const each of others) expect(each).toMatch(/^It is not near enough: -?0\.\d\d\d of 0\.720\.$/);
    categories.configure({ general: { verifyFrom: 0.6 } });
    expect((await because('How do I reset my username?'))[0]).toMatch(/but verification doubts that it asks/);
    expect(await because(KEPT[0]!, 'off')).toEqual([]);
    categories.configure({ general: { enabled: false } });
    expect(await because(KEPT[0]!)).toEqual([]);
    categories.configure({ general: { strictness: 0, askModel: true } });
    expect((await because(KEPT[0]!))[0]).toMatch(
      /Verification is not asked\. The base model is asked as well/,
    );
    categories.configure({});
    await store.documents.remove(await store.ids());
    expect((await because(KEPT[0]!))[0]).toBe("The cache's store does not have it any more.");
  });

  it("is of a tenant's entries, and of a model's, and of every circumstance by itself", async () => {
    const cache = open(new TokenVerifier());
    const text = KEPT[0]!;
    const missed = async (tenant: string, model: string, asked: string) => {
      const said = [question(asked, tenant, model), controls({ category: 'general' })] as const;
      const found = await cache.find(...said);
      if (found.kind !== 'miss') throw new Error(found.kind);
      return (await cache.keep(...said, found, ANSWER, 1))!.id;
    };
    const [own, pirate, theirs] = [
      await missed('acme', 'base', text),
      await missed('acme', 'pirate', text),
      await missed('globex', 'base', text),
    ];
    const ids = async (more: object) =>
      (await explain(cache, 'How can I reset my password?', 'general', more)).map(({ entry, isHit }) => [
        entry.id,
        isHit,
      ]);
    const sorted = (hits: string[]) => hits.map((id) => [id, true]).sort();
    expect((await ids({})).sort()).toEqual(sorted([own, pirate]));
    expect(await ids({ model: 'pirate' })).toEqual([[pirate, true]]);
    expect(await ids({ tenant: 'globex' })).toEqual([[theirs, true]]);
    expect(await ids({ tenant: 'nobody' })).toEqual([]);
    expect((await ids({ tenant: null })).sort()).toEqual(sorted([own, pirate, theirs]));
    // In the same circumstances the nearest is given, and no other.
    await cache.keep(
      ...([question('How can I reset my password', 'acme'), controls({ category: 'general' })] as const),
      ...([
        {
          category: categories.get('general'),
          embedding: (
            await embedder.embed({
              inputs: ['How can I reset my password'],
              truncate: 'model',
              signature: true,
            })
          )[0]!,
        },
        ANSWER,
        1,
      ] as const),
    );
    const both = await explain(cache, 'How can I reset my password?', 'general', { model: 'base' });
    expect(both.map(({ isHit }) => isHit)).toEqual([true, false]);
    expect(both[1]).toMatchObject({
      entry: { id: own },
      because: expect.stringContaining('another that is nearer'),
    });
  });
});

describe('a preview', () => {
  it('counts what other thresholds would have answered of what was asked', async () => {
    const cache = open(new TokenVerifier());
    const outcomes: string[] = [];
    for (const text of [...KEPT, ...ASKED.slice(3)]) outcomes.push((await ask(cache, text, 'general')).kind);
    const hits = outcomes.filter((kind) => kind === 'hit').length;
    expect(hits).toBeGreaterThan(1);
    const general = categories.get('general');
    const preview = (values: object, tenant: string | null = null) =>
      cache.review.preview(general, values, tenant);
    const lookups = ASKED.length;
    expect(await preview({})).toEqual({ lookups, hitsNow: hits, hitsThen: hits });
    // Nothing was there when the first of all was asked.
    const all = await preview({ similarityThreshold: 0, strictness: 0 });
    expect(all).toEqual({ lookups, hitsNow: hits, hitsThen: lookups - 1 });
    expect(await preview({ similarityThreshold: 1, strictness: 1 })).toMatchObject({ hitsThen: 0 });
    const doubtful = (await preview({ strictness: 0.01 })).hitsThen;
    expect(doubtful).toBeGreaterThan(hits);
    expect((await preview({ verifyFrom: 0.99, similarityThreshold: 0.99 })).hitsThen).toBeLessThan(hits);
    // What is previewed is what then happens.
    categories.configure({ general: { strictness: 0.01 } });
    const { hitsNow } = await cache.review.preview(categories.get('general'), {}, null);
    expect(hitsNow).toBe(doubtful);
    expect(await preview({}, 'globex')).toEqual({ lookups: 0, hitsNow: 0, hitsThen: 0 });
    expect((await preview({}, 'acme')).lookups).toBe(lookups);
  });

  it('leaves out what is gone, what was looked for in other categories, what wanted nothing similar, and what must not be kept', async () => {
    const cache = open(new TokenVerifier());
    await ask(cache, KEPT[0]!, 'general');
    await ask(cache, 'How can I reset my password?', 'general');
    await ask(cache, KEPT[0]!, 'loose', 'globex');
    const strictly = controls({ category: 'general', 'similarity-threshold': 1 });
    await cache.find(question('How could I reset my password?'), strictly);
    await cache.find(
      question('How would I reset my password?'),
      controls({ category: 'general', 'no-store': true }),
    );
    const preview = () => cache.review.preview(categories.get('general'), {}, null);
    expect(await preview()).toEqual({ lookups: 2, hitsNow: 1, hitsThen: 1 });
    await cache.find(
      question('How should I reset my password?'),
      controls({ category: 'general', 'similarity-threshold': 0.999 }),
    );
    expect(await preview()).toEqual({ lookups: 3, hitsNow: 1, hitsThen: 1 });
    const { hitsThen } = await cache.review.preview(
      categories.get('general'),
      { similarityThreshold: 0, strictness: 0 },
      null,
    );
    expect(hitsThen).toBe(1);
  });
});
