import { z } from 'zod';
import { endOf } from '../../admission/periods.ts';
import { ApiError } from '../../errors.ts';
import { invalidValue } from '../../openai/fields.ts';
import type { KeyFields } from '../../tenants/keys.ts';
import { type LimitsBody, type Period, withoutNulls } from '../../tenants/limits.ts';
import type { ApiKey } from '../../tenants/tenant.ts';

/** Seconds in LiteLLM's units of time. */
const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400, w: 7 * 86_400, mo: 30 * 86_400 } as const;

/** What asks for nothing, of fields whose other values ask for what is not there. */
const USUAL: Readonly<Record<string, readonly unknown[]>> = { key_type: ['default', 'llm_api'] };

/** Texts that are empty where a form was not filled in. */
const FORM_FIELDS: ReadonlySet<string> = new Set([
  ...['team_id', 'user_id', 'budget_duration', 'duration', 'grace_period'],
]);

/** LiteLLM's word for a key that may use no models: to it, an empty list is all of them. */
const NO_MODELS = 'no-default-models';

/** LiteLLM's budgets that begin anew with our periods do so at the same times there: at midnight and, '30d' as well, on the first, in UTC. */
const PERIOD_OF: Readonly<Record<string, Period>> = {
  '24h': 'day',
  '1d': 'day',
  daily: 'day',
  '30d': 'month',
  '1mo': 'month',
  monthly: 'month',
};

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullish();
const text = z.string().max(256).nullish();

/** Values that ask for nothing, of fields that are known and otherwise not supported. */
const neutral = z.custom<unknown>(isNeutral);

/** As long as our own rotation lets an earlier text hold. */
const MOST_GRACE_SECONDS = 90 * 86_400;

/** What `/key/generate`, `/key/update` and `/key/regenerate` have in common. */
export const litellmFields = {
  models: z.array(z.string().min(1).max(128)).max(1_000).nullish(),
  key_alias: text,
  user_id: text,
  max_budget: z.number().min(0).max(9_000_000).nullish(),
  budget_duration: text,
  duration: text,
  rpm_limit: count,
  tpm_limit: count,
  max_parallel_requests: count,
  blocked: z.boolean().nullish(),
  metadata: z.record(z.string().min(1).max(64), z.unknown()).nullish(),
  tags: z.array(z.string().max(128)).max(64).nullish(),
};

/**
 * A body of LiteLLM's with these fields.
 * @throws ApiError unsupported_parameter, by its name, for a field that would mean something here and does not
 */
export function withoutNeutral(
  body: Readonly<Record<string, unknown>>,
  known: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  for (const [field, value] of Object.entries(body)) {
    if (Object.hasOwn(known, field) || neutral.safeParse(value).success) continue;
    if (Object.hasOwn(USUAL, field) && USUAL[field]?.includes(value)) continue;
    const name = field.slice(0, 64);
    throw new ApiError(
      'unsupported_parameter',
      `Unsupported parameter: '${name}' is not supported by this server.`,
      name,
    );
  }
  return Object.fromEntries(
    Object.entries(body).filter(
      ([field, value]) => Object.hasOwn(known, field) && !(value === '' && FORM_FIELDS.has(field)),
    ),
  );
}

type Given = z.infer<z.ZodObject<typeof litellmFields>>;

/** Our fields of LiteLLM's, in the place of those that the key has. */
export function keyFieldsOf(given: Given, old: KeyFields, now: number): KeyFields {
  const { models, duration } = given;
  const metadata = metadataWith(given, old.metadata);
  return {
    ...old,
    alias: given.key_alias === undefined ? old.alias : given.key_alias || null,
    blocked: given.blocked ?? old.blocked,
    // No models are all models, to LiteLLM.
    models:
      models === undefined ? old.models : models === null || models.length === 0 ? ['*'] : modelsOf(models),
    limits: withoutNulls(limitsWith(given, old.limits)),
    metadata,
    expiresAt:
      duration === undefined
        ? old.expiresAt
        : duration === null
          ? null
          : now + secondsOf(duration, 'duration') * 1000,
  };
}

/** What LiteLLM keeps beside a key's metadata, and we in it: all of it is as it was where it is not given. */
function metadataWith(given: Given, old: KeyFields['metadata']): Record<string, unknown> {
  const { user_id, budget_duration } = old;
  const metadata: Record<string, unknown> =
    given.metadata === undefined ? { ...old } : { user_id, budget_duration, ...plain(given.metadata ?? {}) };
  if (given.user_id !== undefined) metadata.user_id = given.user_id;
  // As it was written: '30d' is a month to LiteLLM, too.
  if (given.budget_duration !== undefined) metadata.budget_duration = given.budget_duration;
  if (given.max_budget === null) metadata.budget_duration = null;
  if (given.tags !== undefined) metadata.tags = given.tags === null ? null : JSON.stringify(given.tags);
  for (const name of ['user_id', 'budget_duration', 'tags'])
    if (metadata[name] == null) delete metadata[name];
  return metadata;
}

/** What LiteLLM says of a key. @param now when its budget is looked at */
export function litellmInfo(key: ApiKey, spend: number, now: number): Record<string, unknown> {
  const { budgets, ...limits } = key.limitsBody;
  const [period, budget] = Object.entries(budgets ?? {}).find(([, each]) => each?.money != null) ?? [];
  const reset = period === undefined ? null : endOf(period as Period, now);
  return {
    token: key.id,
    token_id: key.id,
    key_name: `${key.secrets[0]?.prefix ?? ''}...`,
    key_alias: key.alias,
    team_id: key.tenant,
    user_id: key.metadata.user_id ?? null,
    models: shownModels(key.models),
    aliases: {},
    spend,
    max_budget: budget?.money ?? null,
    budget_duration: period === undefined ? null : durationOf(period as Period, key.metadata),
    budget_reset_at: reset === null ? null : new Date(reset).toISOString(),
    rpm_limit: limits.requests_per_minute ?? null,
    tpm_limit: limits.tokens_per_minute ?? null,
    max_parallel_requests: limits.concurrent_requests ?? null,
    blocked: key.blocked,
    metadata: { ...key.metadata, ...tagsOf(key.metadata) },
    expires: key.expiresAt === null ? null : new Date(key.expiresAt).toISOString(),
    created_at: new Date(key.createdAt).toISOString(),
    updated_at: new Date(key.updatedAt).toISOString(),
  };
}

/** As it was given, as long as the budget is still of that period. */
function durationOf(period: Period, { budget_duration: given }: KeyFields['metadata']): string | null {
  if (typeof given === 'string' && PERIOD_OF[given] === period) return given;
  return { day: '1d', month: '1mo', total: null }[period];
}

function tagsOf({ tags }: KeyFields['metadata']): { readonly tags?: unknown } {
  if (typeof tags !== 'string' || !tags.startsWith('[')) return {};
  try {
    return { tags: JSON.parse(tags) };
  } catch {
    return {};
  }
}

function shownModels(models: readonly string[]): readonly string[] {
  if (models.includes('*')) return [];
  return models.length === 0 ? [NO_MODELS] : models;
}

function limitsWith(given: Given, old: LimitsBody): LimitsBody {
  const limits = { ...old };
  if (given.rpm_limit !== undefined) limits.requests_per_minute = given.rpm_limit;
  if (given.tpm_limit !== undefined) limits.tokens_per_minute = given.tpm_limit;
  if (given.max_parallel_requests !== undefined) limits.concurrent_requests = given.max_parallel_requests;
  if (given.max_budget === undefined && given.budget_duration === undefined) return limits;
  const [earlier = 'total', before] =
    Object.entries(old.budgets ?? {}).find(([, each]) => each?.money != null) ?? [];
  const most = given.max_budget === undefined ? before?.money : given.max_budget;
  const period = given.budget_duration === undefined ? (earlier as Period) : periodOf(given.budget_duration);
  const withoutMoney = Object.fromEntries(
    Object.entries(old.budgets ?? {}).map(([each, budget]) => [each, budget && { ...budget, money: null }]),
  );
  const budgets: NonNullable<LimitsBody['budgets']> = withoutMoney;
  if (most != null) budgets[period] = { ...budgets[period], money: most };
  else if (given.budget_duration != null)
    throw invalidValue(
      'budget_duration',
      "there is no budget that it could be of: give 'max_budget' as well.",
    );
  return { ...limits, budgets };
}

function periodOf(duration: string | null): Period {
  if (duration === null) return 'total';
  const period = PERIOD_OF[duration];
  if (period === undefined)
    throw invalidValue(
      'budget_duration',
      "budgets begin anew with a day ('1d') or a month ('1mo', '30d') in UTC, or never (null).",
    );
  return period;
}

/** How long the earlier text of a key holds; as with LiteLLM's proxy not at all, where nothing is said. */
export function graceSeconds(period: string | null | undefined): number {
  const seconds = period == null ? 0 : secondsOf(period, 'grace_period');
  if (seconds > MOST_GRACE_SECONDS) throw invalidValue('grace_period', "it must be at most '90d'.");
  return seconds;
}

function secondsOf(duration: string, field: string): number {
  const [, amount, unit] = /^(\d{1,6})(s|m|h|d|w|mo)$/.exec(duration) ?? [];
  if (amount === undefined || unit === undefined)
    throw invalidValue(field, "it must be a time such as '30s', '30m', '30h', '30d', '4w' or '1mo'.");
  return Number(amount) * UNITS[unit as keyof typeof UNITS];
}

/** LiteLLM's names for all models. */
function modelsOf(models: readonly string[]): string[] {
  return models
    .filter((model) => model !== NO_MODELS)
    .map((model) => (model === 'all-team-models' || model === 'all-proxy-models' ? '*' : model));
}

/** What is not a plain value is kept as its JSON. */
function plain(metadata: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [
      name,
      typeof value === 'object' && value !== null ? JSON.stringify(value).slice(0, 1_024) : value,
    ]),
  );
}

export function isNeutral(value: unknown): boolean {
  if (value === null || value === false || value === '' || value === 0) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}
