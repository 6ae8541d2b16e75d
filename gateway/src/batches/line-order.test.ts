import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareLines, lineOrder } from './line-order.ts';

/** Prompts made of blocks that are easy to tell apart. */
const prompts = fc.array(
  fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 6 }).map((blocks) => {
    return blocks.map((block) => block.repeat(64)).join('');
  }),
  { maxLength: 40 },
);

/** A prompt's beginnings, in blocks. */
function beginnings(prompt: string): string[] {
  return Array.from({ length: prompt.length / 64 }, (_, index) => prompt.slice(0, (index + 1) * 64));
}

describe('the order of lines', () => {
  it('computes each shared beginning once, with no more in memory than the prompt before', () => {
    fc.assert(
      fc.property(prompts, (texts) => {
        const lines = texts.map((text) => ({ text, ...lineOrder('tiny', '', text) })).sort(compareLines);
        let computed = 0;
        let previous = new Set<string>();
        for (const { text } of lines) {
          computed += beginnings(text).filter((beginning) => !previous.has(beginning)).length;
          previous = new Set(beginnings(text));
        }
        expect(computed).toBe(new Set(texts.flatMap(beginnings)).size);
      }),
    );
  });

  it('keeps models together, and salts within them, whatever the prompts', () => {
    const lines = ['b', 'a'].flatMap((model) =>
      ['2', '1'].flatMap((salt) =>
        ['y', 'x'].map((prompt) => ({ name: model + salt, ...lineOrder(model, salt, prompt) })),
      ),
    );
    const sorted = lines.sort(compareLines).map(({ name }) => name);
    expect(sorted).toEqual(['a1', 'a1', 'a2', 'a2', 'b1', 'b1', 'b2', 'b2']);
  });

  it('puts a prompt before those that it begins, and equal ones at the same place', () => {
    const short = lineOrder('m', '', 'x'.repeat(64));
    const long = lineOrder('m', '', 'x'.repeat(100));
    expect(compareLines(short, long)).toBeLessThan(0);
    expect(compareLines(long, lineOrder('m', '', 'x'.repeat(100)))).toBe(0);
    expect(compareLines(lineOrder('m', '', ''), short)).toBeLessThan(0);
  });

  it('takes much less memory than the prompt, however long that is', () => {
    expect(lineOrder('m', '', 'x'.repeat(6_400_000)).key.length).toBeLessThan(210_000);
  });
});
