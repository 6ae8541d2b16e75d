import { expect, it } from 'vitest';
import { LengthPredictor } from './length-predictor.ts';

function observed(key: string, ...lengths: number[]): LengthPredictor {
  const predictor = new LengthPredictor();
  for (const length of lengths) predictor.observe([key], length);
  return predictor;
}

const HUNDRED = Array.from({ length: 64 }, (_, index) => index + 1);

it('guesses before it knows, and never more than the request may have', () => {
  const predictor = new LengthPredictor();
  expect(predictor.predict(['a'], 0, 1000)).toBe(256);
  expect(predictor.predict(['a'], 0, 20)).toBe(20);
  expect(predictor.predict(['a'], 300, 1000)).toBe(600);
});

it('gives the upper quartile of the answers that were longer than this one is', () => {
  const predictor = observed('a', ...HUNDRED);
  expect(predictor.predict(['a'], 0, 1000)).toBe(49);
  expect(predictor.predict(['a'], 32, 1000)).toBe(57);
  expect(predictor.predict(['a'], 64, 1000)).toBe(128);
});

it('knows keys apart once it has seen enough of one, and follows a change', () => {
  const predictor = observed('short', ...Array.from({ length: 8 }, () => 5));
  for (let answers = 0; answers < 50; answers++) predictor.observe(['long'], 500);
  expect(predictor.predict(['short'], 0, 1000)).toBe(5);
  expect(predictor.predict(['new'], 0, 1000)).toBe(500);
  for (let answers = 0; answers < 64; answers++) predictor.observe(['short'], 90);
  expect(predictor.predict(['short'], 0, 1000)).toBe(90);
});

it('knows the categories of an adapter apart, and asks the adapter about a new one', () => {
  const predictor = new LengthPredictor();
  for (let answers = 0; answers < 8; answers++) {
    predictor.observe(['a summary', 'a'], 400);
    predictor.observe(['a label', 'a'], 2);
    predictor.observe(['b'], 70);
  }
  expect(predictor.predict(['a label', 'a'], 0, 1000)).toBe(2);
  expect(predictor.predict(['a summary', 'a'], 0, 1000)).toBe(400);
  expect(predictor.predict(['a other', 'a'], 0, 1000)).toBe(400);
  expect(predictor.predict(['a other', 'a'], 400, 1000)).toBe(800);
  expect(predictor.predict(['b new', 'b'], 0, 1000)).toBe(70);
});
