import { expect, test } from 'vitest';
import { FalseHits } from './false-hits.ts';

test('nothing is known of what was not looked at', () => {
  expect(new FalseHits().estimate).toEqual({ rate: 0, low: 0, high: 1, checked: 0 });
});

test('the interval is as Wilson has it', () => {
  const found = new FalseHits();
  for (let i = 0; i < 10; i++) found.add(i === 0);
  const { rate, low, high } = found.estimate;
  // 1 of 10: 0.018 to 0.404, but for the little that older checks count less.
  expect(rate).toBeCloseTo(0.1, 1);
  expect(low).toBeCloseTo(0.018, 2);
  expect(high).toBeCloseTo(0.404, 1);
});

test('what was long ago counts less', () => {
  const found = new FalseHits();
  for (let i = 0; i < 500; i++) found.add(true);
  for (let i = 0; i < 2_000; i++) found.add(false);
  expect(found.estimate.high).toBeLessThan(0.02);
});
