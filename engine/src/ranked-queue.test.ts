import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Ranked, RankedQueue } from './ranked-queue.ts';

it('gives what has the lowest rank, whatever was added and taken out', () => {
  const action = fc.oneof(
    fc.record({ add: fc.integer({ min: 0, max: 50 }) }),
    fc.record({ takeOut: fc.nat() }),
    fc.constant({ pop: true }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
      const queue = new RankedQueue<Ranked>();
      const inside: Ranked[] = [];
      for (const each of actions) {
        if ('add' in each) {
          const entry = { rank: each.add, place: -1 };
          queue.add(entry);
          inside.push(entry);
        } else if ('takeOut' in each && inside.length > 0) {
          const [entry] = inside.splice(each.takeOut % inside.length, 1);
          queue.delete(entry!);
          expect(entry!.place).toBe(-1);
        } else if ('pop' in each) {
          const least = Math.min(...inside.map(({ rank }) => rank));
          const popped = queue.pop();
          expect(popped?.rank ?? Number.POSITIVE_INFINITY).toBe(least);
          if (popped !== undefined) inside.splice(inside.indexOf(popped), 1);
        }
        expect(queue.size).toBe(inside.length);
      }
    }),
  );
});

it('refuses what is inside already, and to take out what is not', () => {
  const queue = new RankedQueue<Ranked>();
  const entry = { rank: 1, place: -1 };
  expect(() => queue.delete(entry)).toThrow('not in the queue');
  queue.add(entry);
  expect(() => queue.add(entry)).toThrow('already');
});
