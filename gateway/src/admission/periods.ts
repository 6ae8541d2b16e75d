import type { Period } from '../tenants/limits.ts';

const DAY_MILLISECONDS = 86_400_000;

/** As texts, of the day that was asked for last: every request asks several times, and all day long for the same. */
let last = { number: Number.NaN, day: '', month: '' };

function textsOf(at: number): typeof last {
  const number = Math.floor(at / DAY_MILLISECONDS);
  if (number !== last.number) {
    const day = new Date(at).toISOString().slice(0, 10);
    last = { number, day, month: `${day.slice(0, 7)}-01` };
  }
  return last;
}

/** The UTC day of a time, as `2026-11-22`. */
export function dayOf(at: number): string {
  return textsOf(at).day;
}

/** The first day of a time's period. */
export function firstDay(period: Period, at: number): string {
  const { day, month } = textsOf(at);
  if (period === 'day') return day;
  return period === 'month' ? month : '0000-01-01';
}

/** When a time's period ends, in milliseconds since 1970; null: never. */
export function endOf(period: Period, at: number): number | null {
  if (period === 'total') return null;
  const date = new Date(at);
  if (period === 'day') return (Math.floor(at / DAY_MILLISECONDS) + 1) * DAY_MILLISECONDS;
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}
