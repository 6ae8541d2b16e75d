import { expect, test } from 'vitest';
import { normalized, pool } from './pooling.ts';

const STATES = Float32Array.of(3, 0, 0, 1, 8, 0);

test('a mean has the direction of the sum of the states and length 1', () => {
  expect([...pool(STATES, 2, 'mean')]).toEqual([
    Math.fround(11 / Math.sqrt(122)),
    Math.fround(1 / Math.sqrt(122)),
  ]);
});

test('the first state alone is pooled where the model was trained so', () => {
  expect([...pool(STATES, 3, 'cls')]).toEqual([1, 0, 0]);
});

test('a vector of zeros has no direction, and stays', () => {
  expect([...normalized(new Float32Array(3))]).toEqual([0, 0, 0]);
});
