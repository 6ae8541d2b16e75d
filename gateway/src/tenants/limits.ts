import { z } from 'zod';

/** A billionth of the currency's unit: sums of them are exact, up to nine million units. */
export const NANOS = 1e9;
const MOST_MONEY = 9_000_000;

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullish();
const budget = z
  .strictObject({ tokens: count, money: z.number().min(0).max(MOST_MONEY).nullish() })
  .nullish();

/** What a tenant or a key may use, as the API and the database have it. What is absent or null is not limited. */
export const limitsSchema = z.strictObject({
  requests_per_minute: count,
  tokens_per_minute: count,
  concurrent_requests: count,
  tokens_per_request: count,
  budgets: z.strictObject({ day: budget, month: budget, total: budget }).nullish(),
});
export type LimitsBody = z.infer<typeof limitsSchema>;

/** Of what a budget is: a day or a month in UTC, or all time. */
export const PERIODS = ['day', 'month', 'total'] as const;
export type Period = (typeof PERIODS)[number];

export interface Budget {
  readonly period: Period;
  readonly unit: 'tokens' | 'money';
  /** Tokens, or billionths of the currency's unit. */
  readonly most: number;
}

/** What a tenant or a key may use; null: as much as there is. */
export interface Limits {
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  readonly concurrentRequests: number | null;
  readonly tokensPerRequest: number | null;
  readonly budgets: readonly Budget[];
}

export function limitsOf(body: LimitsBody): Limits {
  const budgets: Budget[] = [];
  for (const period of PERIODS) {
    const { tokens, money } = body.budgets?.[period] ?? {};
    if (tokens != null) budgets.push({ period, unit: 'tokens', most: tokens });
    if (money != null) budgets.push({ period, unit: 'money', most: nanosOf(money) });
  }
  return {
    requestsPerMinute: body.requests_per_minute ?? null,
    tokensPerMinute: body.tokens_per_minute ?? null,
    concurrentRequests: body.concurrent_requests ?? null,
    tokensPerRequest: body.tokens_per_request ?? null,
    budgets,
  };
}

/** Money in billionths of the currency's unit. */
export function nanosOf(money: number): number {
  return Math.round(money * NANOS);
}

export function moneyOf(nanos: number): number {
  return nanos / NANOS;
}

/** Limits with those that were given; null takes one away. */
export function mergedLimits(old: LimitsBody, given: LimitsBody | null | undefined): LimitsBody {
  if (given === undefined) return old;
  if (given === null) return {};
  const { budgets, ...limits } = given;
  const merged = { ...old, ...limits };
  if (budgets === undefined) return withoutNulls(merged);
  return withoutNulls({ ...merged, budgets: budgets === null ? null : { ...old.budgets, ...budgets } });
}

/** What was taken away is not there: null would be kept, and shown, for ever. */
export function withoutNulls({ budgets, ...limits }: LimitsBody): LimitsBody {
  const kept = Object.entries(budgets ?? {})
    .map(([period, budget]) => [period, present(budget ?? {})] as const)
    .filter(([, budget]) => Object.keys(budget).length > 0);
  return { ...present(limits), ...(kept.length === 0 ? {} : { budgets: Object.fromEntries(kept) }) };
}

function present<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null)) as T;
}
