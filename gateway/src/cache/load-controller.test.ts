import { expect, test } from 'vitest';
import { CategoryTable } from './categories/category-table.ts';
import { LoadController } from './load-controller.ts';

function controlled() {
  const clock = { now: 0 };
  const categories = new CategoryTable();
  const load = new LoadController({ categories, targetMilliseconds: () => 500, now: () => clock.now });
  /** Lets time pass, with requests that wait so long each. */
  const run = (seconds: number, wait: number | null) => {
    const end = clock.now + seconds * 1000;
    while (clock.now < end) {
      const begun = wait === null ? null : load.sent();
      clock.now += 250;
      if (begun !== null && wait !== null) {
        clock.now += Math.max(0, wait - 250);
        begun(true);
      }
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
  const ended = load.sent();
  for (let i = 0; i < 12; i++) {
    clock.now += 250;
    load.step();
  }
  expect(load.relaxation).toBeGreaterThan(0);
  ended(false);
  expect(load.waitMilliseconds).toBe(0);
});
