/** Limits as the text of form fields, and back as the API takes them. */
import type { Budgets, Limits, Period } from '../../api/types.ts';

export const COUNTS = [
  { field: 'requests_per_minute', label: 'Requests a minute' },
  { field: 'tokens_per_minute', label: 'Tokens a minute' },
  { field: 'concurrent_requests', label: 'Requests at the same time' },
  { field: 'tokens_per_request', label: 'Tokens in one request' },
] as const;

export const BUDGETS = [
  { period: 'day', unit: 'tokens', label: 'Tokens a day' },
  { period: 'month', unit: 'tokens', label: 'Tokens a month' },
  { period: 'total', unit: 'tokens', label: 'Tokens for good' },
  { period: 'day', unit: 'money', label: 'Money a day' },
  { period: 'month', unit: 'money', label: 'Money a month' },
  { period: 'total', unit: 'money', label: 'Money for good' },
] as const;

/** By the limit's field, or 'period unit' of a budget. Empty: no limit. */
export type LimitTexts = Readonly<Record<string, string>>;

export function textsOf(limits: Limits): LimitTexts {
  return Object.fromEntries([
    ...COUNTS.map(({ field }) => [field, textOf(limits[field])]),
    ...BUDGETS.map(({ period, unit }) => [`${period} ${unit}`, textOf(limits.budgets?.[period]?.[unit])]),
  ]);
}

/** Everything said: what is empty is null, which takes a limit away. */
export function limitsOf(texts: LimitTexts): Limits {
  const periods = ['day', 'month', 'total'] as const satisfies readonly Period[];
  const budgets: Budgets = Object.fromEntries(
    periods.map((period) => [
      period,
      { tokens: numberOf(texts[`${period} tokens`]), money: numberOf(texts[`${period} money`]) },
    ]),
  );
  return { ...Object.fromEntries(COUNTS.map(({ field }) => [field, numberOf(texts[field])])), budgets };
}

/** Names of models: one a line or with commas. Nothing stands for none at all. */
export function modelsOf(text: string): readonly string[] {
  return text.split(/[\s,]+/).filter((model) => model !== '');
}

/** A few words on what is limited besides budgets; null where nothing is. */
export function limitsText(limits: Limits): string | null {
  const said = COUNTS.flatMap(({ field, label }) => {
    const value = limits[field];
    return value == null ? [] : [`${value.toLocaleString('en')} ${label.toLowerCase()}`];
  });
  return said.length === 0 ? null : said.join(', ');
}

function textOf(value: number | null | undefined): string {
  return value == null ? '' : `${value}`;
}

function numberOf(text: string | undefined): number | null {
  return text === undefined || text.trim() === '' ? null : Number(text);
}
