import { describe, expect, test } from 'vitest';
import type { SpendRow } from '../../api/types.ts';
import { budgetUses, spendFrom } from './budgets.ts';

/** In UTC; elsewhere it is the first of December already. */
const NOW = Date.UTC(2026, 10, 30, 23, 30);
const row = (day: string, tokens: number, money: number): SpendRow => ({
  day,
  requests: 1,
  prompt_tokens: tokens - 1,
  cached_tokens: 0,
  completion_tokens: 1,
  money,
});
const ROWS = [row('2026-11-30', 100, 1), row('2026-11-01', 10, 0.5), row('2026-10-31', 1_000, 7)];

test('days and months are those of UTC', () => {
  const limits = {
    budgets: { day: { tokens: 500 }, month: { money: 2, tokens: 500 }, total: { money: 10 } },
  };
  expect(budgetUses(limits, ROWS, NOW)).toEqual([
    { period: 'day', unit: 'tokens', used: 100, most: 500 },
    { period: 'month', unit: 'tokens', used: 110, most: 500 },
    { period: 'month', unit: 'money', used: 1.5, most: 2 },
    { period: 'total', unit: 'money', used: 8.5, most: 10 },
  ]);
});

describe('spendFrom', () => {
  test.each([
    ['nothing', {}, null],
    ['budgets that say nothing', { budgets: { day: {}, month: { tokens: null } } }, null],
    ['a day', { budgets: { day: { tokens: 1 } } }, '2026-11-30'],
    ['a month', { budgets: { day: { tokens: 1 }, month: { money: 1 } } }, '2026-11-01'],
    ['all time', { budgets: { day: { tokens: 1 }, total: { money: 0 } } }, ''],
  ])('for %s', (_what, limits, from) => {
    expect(spendFrom(limits, NOW)).toBe(from);
  });
});
