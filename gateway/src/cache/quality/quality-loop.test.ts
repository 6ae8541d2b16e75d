import type { Embedder } from '@polylora/engine';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startEmbedder } from '../../../../test/support/embedder.ts';
import { createLogger } from '../../logging.ts';
import type { Hit } from '../answer-cache.ts';
import { CategoryTable } from '../categories/category-table.ts';
import type { StoredAnswer } from '../entry.ts';
import { QualityLoop } from './quality-loop.ts';

const says = (text: string): StoredAnswer => ({
  choices: [
    {
      text,
      toolCalls: [],
      reason: 'stop',
      stopReason: null,
      usage: { promptTokens: 1, completionTokens: 1, cachedPromptTokens: 0 },
    },
  ],
});

const RIGHT = 'Paris is the capital of France.';
const WRONG = 'Peel the potatoes and boil them in salted water for twenty minutes.';

let embedder: Embedder;
beforeAll(async () => {
  embedder = await startEmbedder('int8');
  await embedder.load();
}, 120_000);
afterAll(() => embedder.close());

function loop(values: Parameters<CategoryTable['configure']>[0]) {
  const categories = new CategoryTable(values);
  const quality = new QualityLoop({ categories, embedder, logger: createLogger('silent'), random: () => 0 });
  const check = async (isWrong: boolean) => {
    const hit = { entry: { category: 'general' }, answer: says(RIGHT) } as unknown as Hit;
    const { checked } = quality.estimate('general');
    quality.offer(hit, async () => says(isWrong ? WRONG : RIGHT));
    // Older checks count a little less each time.
    await expect.poll(() => quality.estimate('general').checked, { interval: 1 }).toBeGreaterThan(checked);
  };
  return { categories, quality, check };
}

test('a threshold that tunes itself goes up where too many are wrong, and no further than allowed', async () => {
  const { categories, quality, check } = loop({ general: { autoTune: true, targetFalseHitRate: 0.05 } });
  const before = categories.effective(categories.get('general'));
  for (let i = 0; i < 60; i++) await check(i % 2 === 0);
  const after = categories.effective(categories.get('general'));
  expect(quality.estimate('general').rate).toBeCloseTo(0.5, 1);
  expect(after.similarityThreshold).toBeCloseTo(before.similarityThreshold + 0.1);
  expect(after.strictness).toBeCloseTo(before.strictness + 0.1);
});

test('it comes down where it is sure that few are', async () => {
  const { categories, check } = loop({ general: { autoTune: true, targetFalseHitRate: 0.2 } });
  for (let i = 0; i < 150; i++) await check(false);
  expect(categories.adjustment('general').thresholdOffset).toBeLessThan(0);
  expect(categories.adjustment('general').thresholdOffset).toBeGreaterThanOrEqual(-0.05);
});

test('nothing moves by itself', async () => {
  const { categories, quality, check } = loop({ general: { autoTune: false } });
  for (let i = 0; i < 30; i++) await check(true);
  expect(categories.adjustment('general').thresholdOffset).toBe(0);
  expect(quality.estimate('code').checked).toBe(0);
});
