/** Similar questions, by the real embedding model and the real verifier; what the store has may be damaged. */
import type { Embedder } from '@polylora/engine';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { openAnswerCache } from '../../../test/support/answer-cache.ts';
import { ANSWER, controls, question } from '../../../test/support/cache-question.ts';
import { type CacheStore, openCacheStore } from '../../../test/support/cache-store.ts';
import { startEmbedder } from '../../../test/support/embedder.ts';
import type { AnswerCache } from './answer-cache.ts';
import { CategoryTable } from './categories/category-table.ts';
import { TokenVerifier } from './verification/token-verifier.ts';
import type { Verifier } from './verification/verifier.ts';

const ASKED = 'How do I reset my password?';
const PARAPHRASE = 'How can I reset my password?';
const NEAR_MISS = 'How do I reset my username?';

let embedder: Embedder;
let store: CacheStore;
let categories: CategoryTable;

beforeAll(async () => {
  embedder = await startEmbedder('int8');
  await embedder.load();
}, 120_000);
afterAll(() => embedder.close());
beforeEach(async () => {
  store = await openCacheStore();
  categories = new CategoryTable({ loose: { strictness: 0, similarityThreshold: 0.7, adaptive: null } });
});
afterEach(() => store.close());

const open = (verifier: Verifier | null): AnswerCache =>
  openAnswerCache({ embedder, store, categories, verifier });

/** @returns the id of the entry */
async function keep(cache: AnswerCache, text: string, category: string): Promise<string> {
  const missed = await cache.find(question(text), controls({ category }));
  if (missed.kind !== 'miss') throw new Error(`${text} is a ${missed.kind}`);
  const entry = await cache.keep(question(text), controls({ category }), missed, ANSWER, 1);
  return entry!.id;
}

const found = async (cache: AnswerCache, text: string, category = 'general') =>
  (await cache.find(question(text), controls({ category }))).kind;

it('answers a paraphrase, and not what is asked in nearly the same words', async () => {
  const cache = open(new TokenVerifier());
  const id = await keep(cache, ASKED, 'general');
  expect((await store.documents.get(id))?.signature?.byteLength).toBeGreaterThan(0);
  expect([await found(cache, PARAPHRASE), await found(cache, NEAR_MISS)]).toEqual(['hit', 'miss']);
});

it('takes nothing for the same whose signature is missing, cut, empty or by other weights', async () => {
  const cache = open(new TokenVerifier());
  const id = await keep(cache, ASKED, 'general');
  const document = await store.documents.get(id);
  const whole = document!.signature!;
  const byOthers = whole.map((byte, index) => (index < 4 ? byte ^ 1 : byte));
  for (const signature of [null, new Uint8Array(), whole.slice(0, -1), whole.slice(0, 3), byOthers]) {
    await store.documents.put({ ...document!, signature });
    expect(await found(cache, PARAPHRASE), `${signature?.byteLength} bytes`).toBe('miss');
    // What is plainly equal needs none.
    expect(await found(cache, ASKED.toLowerCase())).toBe('hit');
  }
  await store.documents.put({ ...document!, signature: whole });
  expect(await found(cache, PARAPHRASE)).toBe('hit');
});

it('without a verifier answers only in categories that ask for none, and signs nothing', async () => {
  const cache = open(null);
  const id = await keep(cache, ASKED, 'general');
  expect((await store.documents.get(id))?.signature).toBeNull();
  expect(await found(cache, PARAPHRASE)).toBe('miss');
  const other = open(null);
  await keep(other, ASKED, 'loose');
  expect(await found(other, PARAPHRASE, 'loose')).toBe('hit');
});
