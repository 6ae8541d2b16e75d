import type { Period } from '../tenants/limits.ts';

const DAY_MILLISECONDS = 86_400_000;

/** The first day of each period that a day is in. */
export type FirstDays = Readonly<Record<Period, string>>;

let known = { number: Number.NaN, first: firstDaysOf(0) };

/** The first days of a time's periods, the same object all through a day: requests ask for them again and again. */
export function firstDays(at: number): FirstDays {
  const number = Math.floor(at / DAY_MILLISECONDS);
  if (number !== known.number) known = { number, first: firstDaysOf(at) };
  return known.first;
}

/** The UTC day of a time, as `2026-11-22`. */
export function dayOf(at: number): string {
  return firstDays(at).day;
}

/** When a time's period ends, in milliseconds since 1970; null: never. */
export function endOf(period: Period, at: number): number | null {
  if (period === 'total') return null;
  const date = new Date(at);
  if (period === 'day') return (Math.floor(at / DAY_MILLISECONDS) + 1) * DAY_MILLISECONDS;
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}

function firstDaysOf(at: number): FirstDays {
  const day = new Date(at).toISOString().slice(0, 10);
  return { day, month: `${day.slice(0, 7)}-01`, total: '0000-01-01' };
}
