import { expect, test } from 'vitest';
import { moment, relative, utcDay } from './times.ts';

test('times are told from now, in whole units', () => {
  const now = 1_795_000_000;
  const told = [now, now - 3, now - 59, now - 119, now - 7_300, now - 86_400 * 3.9, now + 90_000].map((at) =>
    relative(at, now),
  );
  expect(told).toEqual([
    'just now',
    'just now',
    '59 s ago',
    '1 min ago',
    '2 h ago',
    '3 days ago',
    'in 1 day',
  ]);
});

test('a time that is not of today has its date', () => {
  const midnight = new Date(2026, 10, 23).getTime();
  expect(moment(midnight, midnight + 60_000)).toBe('00:00:00');
  expect(moment(midnight - 10_000, midnight + 60_000)).toBe('22 Nov 23:59:50');
  expect(moment(midnight + 86_400_000, midnight)).toBe('24 Nov 00:00:00');
  expect(moment(new Date(2025, 10, 23, 9, 5, 7).getTime(), midnight)).toBe('23 Nov 2025 09:05:07');
});

test('a day is one of UTC, whatever the clock here shows', () => {
  expect(utcDay(Date.UTC(2026, 10, 22, 23, 59, 59))).toBe('2026-11-22');
  expect(utcDay(Date.UTC(2026, 10, 23))).toBe('2026-11-23');
});
