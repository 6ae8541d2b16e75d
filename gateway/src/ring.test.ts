import { expect, it } from 'vitest';
import { Ring } from './ring.ts';

it('has the last of what came, the newest first', () => {
  const ring = new Ring<number>(3);
  expect(ring.newest()).toEqual([]);
  const seen = [1, 2, 3, 4, 5, 6, 7].map((number) => {
    ring.push(number);
    return ring.newest();
  });
  expect(seen).toEqual([[1], [2, 1], [3, 2, 1], [4, 3, 2], [5, 4, 3], [6, 5, 4], [7, 6, 5]]);
});
