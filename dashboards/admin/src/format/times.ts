/** Times as people read them, in the browser's own time zone. */
import { duration, NONE } from './numbers.ts';

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const DAY_OF_YEAR = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
const DATE = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
});

/** 14:03:27 @param at milliseconds since 1970 */
export function clock(at: number): string {
  return CLOCK.format(at);
}

/** 14:03:27 of today, 22 Nov 14:03:27 of another day. @param at milliseconds since 1970 */
export function moment(at: number, now = Date.now()): string {
  const day = DAY_OF_YEAR.format(at);
  if (day === DAY_OF_YEAR.format(now)) return clock(at);
  const isOfThisYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  return `${isOfThisYear ? DAY.format(at) : day} ${clock(at)}`;
}

/** 22 Nov 2026, 14:03 @param seconds since 1970 */
export function date(seconds: number | null | undefined): string {
  return seconds == null ? NONE : DATE.format(seconds * 1_000);
}

/** 5 min ago, in 3 days @param seconds since 1970 */
export function relative(seconds: number | null | undefined, now = Date.now() / 1_000): string {
  if (seconds == null) return NONE;
  const difference = Math.round(now - seconds);
  if (Math.abs(difference) < 5) return 'just now';
  const rounded = duration(wholeUnits(Math.abs(difference)));
  return difference > 0 ? `${rounded} ago` : `in ${rounded}`;
}

/** 2026-11-22, in UTC as budgets are. @param at milliseconds since 1970 */
export function utcDay(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}

function wholeUnits(seconds: number): number {
  const unit = seconds >= 86_400 ? 86_400 : seconds >= 3_600 ? 3_600 : seconds >= 60 ? 60 : 1;
  return Math.floor(seconds / unit) * unit;
}
