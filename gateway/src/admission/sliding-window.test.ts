import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SlidingWindow } from './sliding-window.ts';

describe('a sliding window', () => {
  it('has the sum of the last sixty seconds, whatever comes when', () => {
    const step = fc.record({
      wait: fc.integer({ min: 0, max: 30_000 }),
      amount: fc.integer({ min: 0, max: 50 }),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const window = new SlidingWindow();
        const added: { second: number; amount: number }[] = [];
        let now = 1_000;
        for (const { wait, amount } of steps) {
          now += wait;
          window.add(now, amount);
          added.push({ second: Math.floor(now / 1000), amount });
          const second = Math.floor(now / 1000);
          const expected = added.filter((each) => each.second > second - 60);
          expect(window.total(now)).toBe(expected.reduce((sum, each) => sum + each.amount, 0));
        }
      }),
    );
  });

  it('says when there is room, and then there is', () => {
    const window = new SlidingWindow();
    window.add(500, 4);
    window.add(10_500, 3);
    const wait = window.untilAtMost(20_000, 3);
    expect(wait).toBe(40_000);
    expect(window.total(20_000 + wait - 1)).toBe(7);
    expect(window.total(20_000 + wait)).toBe(3);
    expect(window.untilAtMost(20_000, 7)).toBe(0);
    expect([window.untilAtMost(20_000, 0), window.untilEmpty(20_000)]).toEqual([50_000, 50_000]);
    expect(window.untilEmpty(80_000)).toBe(0);
    expect(window.untilAtMost(80_000, -1)).toBe(60_000);
  });

  it('corrects what was added where it was, and leaves alone what has left', () => {
    const window = new SlidingWindow();
    window.add(0, 100);
    window.correct(30_000, 0, -60);
    expect(window.total(30_000)).toBe(40);
    expect(window.total(60_000)).toBe(0);
    window.correct(61_000, 0, -40);
    expect(window.total(61_000)).toBe(0);
  });
});
