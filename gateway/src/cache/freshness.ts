import type { Category } from './categories/category.ts';
import type { Entry } from './entries.ts';

type Times = Pick<Entry, 'createdAt' | 'expiresAt'>;

/** How long an answer is as good as new: its category's time, or its own where it was kept for less. */
export function freshSeconds(entry: Times, category: Category, longest: number): number {
  return isKeptForLess(entry, category) ? ownSeconds(entry) : longest;
}

/** For how long after that it is still given: whoever chose a shorter time wants it no longer. */
export function staleSeconds(entry: Times, category: Category): number {
  return isKeptForLess(entry, category) ? 0 : category.staleSeconds;
}

function isKeptForLess(entry: Times, { ttlSeconds }: Category): boolean {
  return ownSeconds(entry) < ttlSeconds;
}

function ownSeconds({ createdAt, expiresAt }: Times): number {
  return (expiresAt - createdAt) / 1000;
}
