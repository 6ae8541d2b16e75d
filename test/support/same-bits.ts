import type { TokenLogprobs } from '@polylora/engine';
import { expect } from 'vitest';
import type { Answer } from './engine.ts';

/** Fails unless two answers have the same tokens and, bit for bit, the same logprobs. */
export function expectSameBits(actual: Answer, expected: Answer, where: string): void {
  expect(actual.error, where).toEqual(expected.error);
  expect(actual.ids, `${where}: tokens`).toEqual(expected.ids);
  expect(actual.text, `${where}: text`).toBe(expected.text);
  expectSameLogprobs(actual.promptLogprobs, expected.promptLogprobs, `${where}: prompt`);
  expectSameLogprobs(actual.logprobs, expected.logprobs, `${where}: completion`);
}

function expectSameLogprobs(
  actual: readonly (TokenLogprobs | null)[],
  expected: readonly (TokenLogprobs | null)[],
  where: string,
): void {
  const flat = (list: typeof actual) =>
    list.flatMap((token) =>
      token === null
        ? []
        : [token.id, token.logprob, ...token.top.flatMap(({ id, logprob }) => [id, logprob])],
    );
  const a = flat(actual);
  const b = flat(expected);
  // One comparison for the whole list: an expect for each of many thousand numbers would be slow.
  const different = a.findIndex((value, index) => !Object.is(value, b[index]));
  if (a.length !== b.length || different !== -1) {
    expect.fail(`${where}: number ${different} is ${a[different]}, alone it is ${b[different]}`);
  }
}
