import { describe, expect, it } from 'vitest';
import { SteadyClock } from './steady-clock.ts';

const HOUR = 3_600_000;

function clocks() {
  const time = { wall: 1_700_000_000_000, steady: 5_000 };
  const clock = new SteadyClock(
    () => time.wall,
    () => time.steady,
  );
  const pass = (milliseconds: number) => {
    time.wall += milliseconds;
    time.steady += milliseconds;
  };
  return { time, clock, pass };
}

describe('a steady clock', () => {
  it('follows the wall clock and its small adjustments', () => {
    const { time, clock, pass } = clocks();
    pass(1_000);
    expect(clock.now()).toBe(time.wall);
    time.wall += 500;
    expect(clock.now()).toBe(time.wall);
  });

  it.each([HOUR, -HOUR])('takes no notice of a jump by %i ms that is taken back', (jump) => {
    const { time, clock, pass } = clocks();
    const before = clock.now();
    time.wall += jump;
    pass(60_000);
    expect(clock.now()).toBe(before + 60_000);
    time.wall -= jump;
    pass(1_000);
    expect(clock.now()).toBe(before + 61_000);
  });

  it.each([HOUR, -HOUR])('believes a jump by %i ms that lasts', (jump) => {
    const { time, clock, pass } = clocks();
    clock.now();
    time.wall += jump;
    clock.now();
    pass(6 * 60_000);
    expect(clock.now()).toBe(time.wall);
    pass(10);
    expect(clock.now()).toBe(time.wall);
  });
});
