/** How much of its budgets a tenant or a key has used. */
import type { Limits, Period, SpendRow } from '../../api/types.ts';
import { utcDay } from '../../format/times.ts';

export interface BudgetUse {
  readonly period: Period;
  readonly unit: 'tokens' | 'money';
  readonly used: number;
  readonly most: number;
}

const PERIODS: readonly Period[] = ['day', 'month', 'total'];

/** @param rows by day, of all time if there is a budget for good @param now milliseconds since 1970 */
export function budgetUses(
  { budgets }: Limits,
  rows: readonly SpendRow[],
  now: number,
): readonly BudgetUse[] {
  return PERIODS.flatMap((period) => {
    const budget = budgets?.[period];
    const from = firstDayOf(period, now);
    const spent = rows.filter(({ day = '' }) => day >= from);
    return (['tokens', 'money'] as const).flatMap((unit) => {
      const most = budget?.[unit];
      return most == null ? [] : [{ period, unit, most, used: sumOf(spent, unit) }];
    });
  });
}

/** The first day, in UTC, that counts for a period; '' where all do. */
export function firstDayOf(period: Period, now: number): string {
  const today = utcDay(now);
  return period === 'day' ? today : period === 'month' ? `${today.slice(0, 8)}01` : '';
}

/** The first day that spend has to be asked for from; null where no budget asks for any. */
export function spendFrom({ budgets }: Limits, now: number): string | null {
  const has = (period: Period) => budgets?.[period]?.tokens != null || budgets?.[period]?.money != null;
  if (has('total')) return '';
  if (has('month')) return firstDayOf('month', now);
  return has('day') ? firstDayOf('day', now) : null;
}

function sumOf(rows: readonly SpendRow[], unit: 'tokens' | 'money'): number {
  return rows.reduce(
    (sum, row) => sum + (unit === 'money' ? row.money : row.prompt_tokens + row.completion_tokens),
    0,
  );
}
