import { expect, it } from 'vitest';
import { mergesFromScores } from './sentence-piece.ts';

it('joins pieces by falling score, ties by the longer left part, as transformers does', () => {
  const tokens = ['<s>', 'a', 'b', 'ab', 'abb', 'bb', '<', 's>'];
  const scores = [0, -9, -9, -1, -2, -1, -9, -9];
  const isPiece = tokens.map((_, id) => id !== 0);
  expect(mergesFromScores(tokens, scores, isPiece)).toEqual([
    ['a', 'b'],
    ['b', 'b'],
    ['ab', 'b'],
    ['a', 'bb'],
  ]);
});

it('never splits a character and never merges into a control token', () => {
  expect(
    mergesFromScores(['🙂', '🙂🙂', '</s>', '</', 's>'], [0, -1, 0, -2, -3], [true, true, false, true, true]),
  ).toEqual([['🙂', '🙂']]);
});
