import { expect, test } from 'vitest';
import type { Snapshot } from '../../api/types.ts';
import { historyOf, withSnapshot } from './history.ts';

const at = (time: number) => ({ at: time }) as Snapshot;
const timesOf = (history: readonly Snapshot[]) => history.map((snapshot) => snapshot.at);

test('holds five minutes, the oldest leaves', () => {
  let history: readonly Snapshot[] = [];
  for (let second = 0; second < 400; second += 1) history = withSnapshot(history, at(second));
  expect(timesOf(history)).toEqual(Array.from({ length: 300 }, (_, index) => index + 100));
});

test('times only rise, also where a snapshot comes twice', () => {
  expect(timesOf(withSnapshot([at(1), at(2), at(3)], at(2)))).toEqual([1, 2]);
  expect(timesOf(historyOf([at(3), at(1), at(2)]))).toEqual([1, 2, 3]);
});
