/** Options that `polylora tenants` and `polylora keys` have in common, and the bodies of requests that they make. */
import type { Invocation, OptionSpec } from './arguments.ts';
import { UsageError } from './errors.ts';

/** What takes a limit away. */
const NONE = 'none';
const PERIODS = ['day', 'month', 'total'];
const UNITS = ['tokens', 'money'];

const LIMITS = {
  'requests-per-minute': 'requests_per_minute',
  'tokens-per-minute': 'tokens_per_minute',
  'concurrent-requests': 'concurrent_requests',
  'tokens-per-request': 'tokens_per_request',
} as const;

export const LIMIT_OPTIONS: readonly OptionSpec[] = [
  { name: 'requests-per-minute', value: 'count', help: "a limit, or 'none', as for those below" },
  { name: 'tokens-per-minute', value: 'count', help: 'prompts and answers together' },
  { name: 'concurrent-requests', value: 'count', help: 'requests that run at the same time' },
  { name: 'tokens-per-request', value: 'count', help: 'the most that one may use' },
  {
    name: 'budget',
    value: 'budget',
    many: true,
    help: 'such as day:tokens:100000, month:money:25 or total:money:none; may be repeated',
  },
];

export const MODEL_OPTION: OptionSpec = {
  name: 'model',
  value: 'name',
  many: true,
  help: "what may be used: a name, 'acme/*', 'base' or '*'; may be repeated",
};

export const SPEND_OPTIONS: readonly OptionSpec[] = [
  { name: 'from', value: 'day', help: 'the first day, such as 2026-11-01' },
  { name: 'to', value: 'day', help: 'the last day' },
  { name: 'by', value: 'groups', help: 'what sums are of: day, key, model, with commas' },
];

/** The limits of a command line, as the API has them; undefined: none was given. */
export function limitsOf({ text, texts }: Invocation): object | undefined {
  const limits: Record<string, unknown> = {};
  for (const [option, field] of Object.entries(LIMITS)) {
    const value = text(option);
    if (value !== undefined) limits[field] = amountOf(value, option);
  }
  const budgets: Record<string, Record<string, number | null>> = {};
  for (const given of texts('budget')) {
    const [period = '', unit = '', amount = '', ...more] = given.split(':');
    if (!PERIODS.includes(period) || !UNITS.includes(unit) || more.length > 0) {
      throw new UsageError(`'${given}' is not a budget, such as day:tokens:100000 or month:money:25.`);
    }
    if (budgets[period]?.[unit] !== undefined)
      throw new UsageError(`--budget is given twice for ${period}:${unit}.`);
    budgets[period] = { ...budgets[period], [unit]: amountOf(amount, 'budget') };
  }
  if (Object.keys(budgets).length > 0) limits.budgets = budgets;
  return Object.keys(limits).length === 0 ? undefined : limits;
}

/** A field of a body, where its option was given. */
export function given(field: string, value: unknown): Record<string, unknown> {
  return value === undefined ? {} : { [field]: value };
}

export function modelsOf({ texts }: Invocation): readonly string[] | undefined {
  const models = texts('model');
  return models.length === 0 ? undefined : models;
}

export function spendQuery({ text }: Invocation): URLSearchParams {
  const query = new URLSearchParams();
  for (const option of ['from', 'to', 'by']) {
    const value = text(option);
    if (value !== undefined) query.set(option, value);
  }
  return query;
}

export function numberOf(value: string, option: string): number {
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number) || number < 0)
    throw new UsageError(`--${option} needs a number, and '${value}' is none.`);
  return number;
}

/** Seconds of a time such as `90s`, `30m`, `12h`, `30d` or `2w`. */
export function secondsOf(value: string, option: string): number {
  const [, amount, unit] = /^(\d{1,6})([smhdw])$/.exec(value) ?? [];
  if (amount === undefined)
    throw new UsageError(`--${option} needs a time such as 30m, 12h, 30d or 2w, and '${value}' is none.`);
  return (
    Number(amount) * { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 }[unit as 's' | 'm' | 'h' | 'd' | 'w']
  );
}

function amountOf(value: string, option: string): number | null {
  return value === NONE ? null : numberOf(value, option);
}
