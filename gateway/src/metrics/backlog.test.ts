import { expect, it } from 'vitest';
import { Backlog } from './backlog.ts';

it('counts everything once, in its order, when it is asked to or has grown long', () => {
  const backlog = new Backlog();
  const counted: number[] = [];
  const add = (value: number) => backlog.add(() => counted.push(value));
  add(0);
  add(1);
  expect(counted).toEqual([]);
  backlog.settle();
  expect(counted).toEqual([0, 1]);
  for (let value = 2; value < 2_000; value++) add(value);
  // Nothing waits for good where nobody asks for metrics.
  expect(counted.length).toBeGreaterThan(1_000);
  backlog.settle();
  backlog.settle();
  expect(counted).toEqual(Array.from({ length: 2_000 }, (_, value) => value));
});

it('counts what is added while it counts', () => {
  const backlog = new Backlog();
  const counted: string[] = [];
  backlog.add(() => {
    counted.push('first');
    backlog.add(() => counted.push('second'));
  });
  backlog.settle();
  backlog.settle();
  expect(counted).toEqual(['first', 'second']);
});
