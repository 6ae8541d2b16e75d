import { expect, test } from 'vitest';
import { CategoryTable } from './categories/category-table.ts';
import { LoadController } from './load-controller.ts';

const PROMPT = { promptTokens: 16, completionTokens: 0 };
const ANSWER = { promptTokens: 16, completionTokens: 9 };

function controlled() {
  const clock = { now: 0 };
  const categories = new CategoryTable();
  const load = new LoadController({ categories, targetMilliseconds: () => 500, now: () => clock.now });
  /** Lets time pass, with requests that wait so long each, as the backend tells. */
  const run = (seconds: number, wait: number) => {
    const end = clock.now + seconds * 1000;
    while (clock.now < end) {
      const sent = load.sent(PROMPT);
      clock.now += Math.max(250, wait);
      sent.begun();
      sent.ended(ANSWER, wait);
      load.step();
    }
  };
  return { clock, categories, load, run };
}

const ofCode = (categories: CategoryTable) => categories.effective(categories.get('code'));

test('categories go towards their bounds under load, never beyond, and come back', () => {
  const { categories, load, run } = controlled();
  const calm = ofCode(categories);
  run(5, 100);
  expect(load.relaxation).toBe(0);
  run(20, 2_000);
  expect(load.relaxation).toBe(1);
  const { adaptive } = categories.get('code');
  expect(ofCode(categories)).toEqual({
    similarityThreshold: adaptive!.leastSimilarityThreshold,
    verifyFrom: categories.get('code').verifyFrom,
    strictness: adaptive!.leastStrictness,
    ttlSeconds: adaptive!.mostTtlSeconds,
  });
  run(40, 100);
  expect(load.relaxation).toBe(0);
  expect(ofCode(categories)).toEqual(calm);
});

test('categories that do not allow it stay as they are', () => {
  const { categories, run } = controlled();
  run(20, 3_000);
  const { similarityThreshold, verifyFrom, strictness, ttlSeconds } = categories.get('math');
  expect(categories.effective(categories.get('math'))).toEqual({
    similarityThreshold,
    verifyFrom,
    strictness,
    ttlSeconds,
  });
});

test('a wait near the target changes nothing in either direction', () => {
  const { load, run } = controlled();
  run(4, 1_500);
  const { relaxation } = load;
  expect(relaxation).toBeGreaterThan(0);
  run(10, 400);
  const settled = load.relaxation;
  run(30, 400);
  expect(load.relaxation).toBe(settled);
  expect(settled).toBeGreaterThan(0);
});

test('one that never begins is load as well, and one that fails is none', () => {
  const { clock, load } = controlled();
  const sent = load.sent(PROMPT);
  for (let i = 0; i < 12; i++) {
    clock.now += 250;
    load.step();
  }
  expect(load.relaxation).toBeGreaterThan(0);
  sent.failed();
  expect(load.waitMilliseconds).toBe(0);
});

test('reading a long prompt is no waiting', () => {
  const { clock, load } = controlled();
  const answer = (prompt: number, queued: number | null) => {
    const sent = load.sent({ promptTokens: prompt, completionTokens: 0 });
    clock.now += prompt;
    const { waitMilliseconds } = load;
    sent.begun();
    clock.now += 10 * 16;
    sent.ended({ promptTokens: prompt, completionTokens: 10 }, queued);
    return [waitMilliseconds, load.waitMilliseconds];
  };
  // A millisecond for each of the prompt's tokens, sixteen for each of the answer's.
  answer(16, 0);
  expect(answer(4_000, 0)).toEqual([0, 0]);
  expect(answer(4_000, null)).toEqual([0, 0]);
});

test('what comes whole has waited for what it took beyond what such an answer takes', () => {
  const { clock, load } = controlled();
  const most = { promptTokens: 16, completionTokens: 100 };
  const answer = (milliseconds: number, completionTokens: number) => {
    const sent = load.sent(most);
    clock.now += milliseconds;
    sent.ended({ promptTokens: 16, completionTokens }, null);
    return load.waitMilliseconds;
  };
  expect(answer(1_010, 100)).toBe(0);
  expect(answer(2_000, 100)).toBe(0);
  // Nine tokens and the prompt: a hundred milliseconds, or four hundred beside others.
  for (let i = 0; i < 30; i++) answer(3_200, 9);
  expect(load.waitMilliseconds).toBeGreaterThan(2_500);
  expect(load.waitMilliseconds).toBeLessThan(2_800);
});

test('of what comes whole and does not, so much was waiting as the longest answer does not take', () => {
  const { clock, load } = controlled();
  const first = load.sent({ promptTokens: 16, completionTokens: 9 });
  clock.now += 100;
  first.ended({ promptTokens: 16, completionTokens: 9 }, null);
  load.sent({ promptTokens: 16, completionTokens: 99 });
  clock.now += 2_000;
  expect(load.waitMilliseconds).toBe(0);
  clock.now += 3_000;
  expect(load.waitMilliseconds).toBeGreaterThan(900);
});

test('an engine that lets all in at once and is slow with each is under load as well', () => {
  const { clock, load } = controlled();
  const answer = (milliseconds: number) => {
    const sent = load.sent(PROMPT);
    clock.now += milliseconds / 10;
    sent.begun();
    clock.now += (9 * milliseconds) / 10;
    sent.ended(ANSWER, 0);
  };
  answer(100);
  answer(390);
  expect(load.waitMilliseconds).toBe(0);
  for (let i = 0; i < 10; i++) answer(2_400);
  expect(load.waitMilliseconds).toBeGreaterThan(1_800);
});
