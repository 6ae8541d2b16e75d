import { expect, test } from 'vitest';
import { isRunning, toggled, waiting, withAnswer } from './columns.ts';

test('no more than four adapters are chosen', () => {
  const four = ['a', 'b', 'c', 'd'].reduce<readonly string[]>(toggled, []);
  expect(toggled(four, 'e')).toEqual(['a', 'b', 'c', 'd']);
  expect(toggled(four, 'b')).toEqual(['a', 'c', 'd']);
});

test('a change is of one model alone', () => {
  const answers = withAnswer([waiting('base'), waiting('pirate')], 'pirate', { state: 'done' });
  expect(answers.map(({ state }) => state)).toEqual(['waiting', 'done']);
  expect(answers.map(isRunning)).toEqual([true, false]);
});
