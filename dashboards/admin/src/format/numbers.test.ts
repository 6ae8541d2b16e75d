import { describe, expect, test } from 'vitest';
import {
  bytes,
  compact,
  count,
  duration,
  milliseconds,
  money,
  NONE,
  percent,
  shortDigest,
} from './numbers.ts';

test('what is not known is a dash everywhere', () => {
  const shown = [count, compact, bytes, milliseconds, duration, percent, money].map((show) => show(null));
  expect(new Set(shown)).toEqual(new Set([NONE]));
});

test('counts have separators', () => {
  expect([0, 7, 12_345, 1_234_567].map(count)).toEqual(['0', '7', '12,345', '1,234,567']);
});

test('compact numbers are short', () => {
  expect([0, 0.04, 3.25, 12, 999, 12_345, 2_000_000].map(compact)).toEqual([
    '0',
    '0.0',
    '3.3',
    '12',
    '999',
    '12.3K',
    '2M',
  ]);
});

describe('bytes', () => {
  test.each([
    [0, '0 B'],
    [1_023, '1023 B'],
    [1_024, '1.0 KiB'],
    [1_849_824, '1.8 MiB'],
    [150 * 1_024 ** 2, '150 MiB'],
    [1_024 ** 2 - 1, '1.0 MiB'],
    [3 * 1_024 ** 4, '3.0 TiB'],
    [9_000 * 1_024 ** 4, '9000 TiB'],
  ])('%i is %s', (value, text) => {
    expect(bytes(value)).toBe(text);
  });
});

describe('milliseconds', () => {
  test.each([
    [0, '0 ms'],
    [0.04, '0 ms'],
    [0.84, '0.8 ms'],
    [9.96, '10 ms'],
    [240.4, '240 ms'],
    [999.6, '1.00 s'],
    [1_240, '1.24 s'],
    [12_345, '12.3 s'],
    [59_960, '1 min 0 s'],
    [125_000, '2 min 5 s'],
  ])('%d is %s', (value, text) => {
    expect(milliseconds(value)).toBe(text);
  });
});

describe('durations', () => {
  test.each([
    [0.4, '0 s'],
    [45, '45 s'],
    [300, '5 min'],
    [5_400, '1.5 h'],
    [86_400, '1 day'],
    [604_800, '7 days'],
  ])('%d s is %s', (value, text) => {
    expect(duration(value)).toBe(text);
  });
});

test('shares are of a hundred', () => {
  expect([percent(0.125), percent(1, 0), percent(0)]).toEqual(['12.5 %', '100 %', '0.0 %']);
});

test('small money has more places', () => {
  expect([0, 0.0042, 40.25, 1_234.5].map(money)).toEqual(['0.00', '0.0042', '40.25', '1,234.50']);
});

test('digests are cut, short ones are not', () => {
  expect(shortDigest('9f86d081884c7d659a2feaa0c55ad015')).toBe('9f86d08188…');
  expect(shortDigest('abc')).toBe('abc');
});
