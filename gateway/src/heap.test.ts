import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Heap } from './heap.ts';

function drain(heap: Heap<number>): number[] {
  const items: number[] = [];
  for (let item = heap.pop(); item !== undefined; item = heap.pop()) items.push(item);
  return items;
}

describe('Heap', () => {
  it('gives back in order whatever was put in and left in', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 50 })),
        fc.integer({ min: 1, max: 4 }),
        (items, divisor) => {
          const heap = new Heap<number>((a, b) => a - b);
          for (const item of items) heap.push(item);
          expect(heap.size).toBe(items.length);
          heap.filter((item) => item % divisor === 0);
          expect(drain(heap)).toEqual(items.filter((item) => item % divisor === 0).sort((a, b) => a - b));
          expect(heap.size).toBe(0);
        },
      ),
    );
  });
});
