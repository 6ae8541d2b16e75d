import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Phase, RequestEntry } from '../../api/types.ts';
import { barsOf, wholeMsOf } from './phase-bars.ts';

const phase = (name: Phase['name'], start: number, duration: number): Phase => ({
  name,
  start_ms: start,
  duration_ms: duration,
});

describe('barsOf', () => {
  test('lie where they were in time', () => {
    const bars = barsOf([phase('decode', 50, 50), phase('queue', 0, 25), phase('prefill', 25, 25)], 100);
    expect(bars.map(({ name, left, width }) => [name, left, width])).toEqual([
      ['queue', 0, 0.25],
      ['prefill', 0.25, 0.25],
      ['decode', 0.5, 0.5],
    ]);
  });

  test('never leave the lane, and are always seen', () => {
    const time = fc.double({ min: 0, max: 1e7, noNaN: true });
    fc.assert(
      fc.property(fc.array(fc.tuple(time, time)), time, (given, whole) => {
        for (const { left, width } of barsOf(
          given.map(([start, ms]) => phase('decode', start, ms)),
          whole,
        )) {
          expect(left).toBeGreaterThanOrEqual(0);
          expect(width).toBeGreaterThan(0.003);
          expect(left + width).toBeLessThanOrEqual(1 + 1e-9);
        }
      }),
    );
  });
});

describe('wholeMsOf', () => {
  const entry = { at: 1_000, state: 'running', duration_ms: null, phases: [] } as unknown as RequestEntry;

  test('is what the server measured, once it has ended', () => {
    expect(wholeMsOf({ ...entry, state: 'done', duration_ms: 40 }, 99_000)).toBe(40);
  });

  test('goes on while it runs, and is never less than what is told', () => {
    expect(wholeMsOf(entry, 1_500)).toBe(500);
    // The clocks of the server and of this machine differ.
    expect(wholeMsOf({ ...entry, phases: [phase('prefill', 10, 190)] }, 900)).toBe(200);
  });
});
