import { expect, test } from 'vitest';
import { normalized } from './normalized.ts';

test('a vector keeps its direction and has length 1', () => {
  expect([...normalized(Float32Array.of(3, 0, -4))]).toEqual([0.6, 0, -0.8].map(Math.fround));
});

test('a vector of zeros has no direction, and stays', () => {
  expect([...normalized(new Float32Array(3))]).toEqual([0, 0, 0]);
});
