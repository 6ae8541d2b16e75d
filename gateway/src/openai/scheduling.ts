import type { Priority, SchedulingParams } from '@polylora/engine';
import { choiceValue, type JsonObject, numberField, textValue } from './fields.ts';

const MAX_SALT_LENGTH = 256;
const MAX_CATEGORY_LENGTH = 64;
const TIMEOUT_SECONDS = { min: 0.001, max: 86_400 } as const;

/** OpenAI's service tiers, and what they mean here. */
const TIERS = {
  auto: 'normal',
  default: 'normal',
  scale: 'normal',
  priority: 'high',
  flex: 'batch',
} as const satisfies Record<string, Priority>;

export interface SchedulingOptions {
  readonly tenant: string;
  /** Whether clients may ask to come first; otherwise 'priority' is served as 'default'. */
  readonly allowPriority: boolean;
}

/**
 * The fields that say how a request stands to others: `service_tier`, `cache_salt` (vLLM's), `category` and `timeout` in
 * seconds.
 * @throws ApiError for the first field that is wrong
 */
export function readScheduling(
  body: JsonObject,
  { tenant, allowPriority }: SchedulingOptions,
): SchedulingParams {
  const tiers = Object.keys(TIERS) as (keyof typeof TIERS)[];
  const tier = TIERS[choiceValue(body.service_tier ?? 'auto', 'service_tier', tiers)];
  const salt = body.cache_salt ?? null;
  const category = body.category ?? null;
  return {
    tenant,
    weight: 1,
    priority: tier === 'high' && !allowPriority ? 'normal' : tier,
    cacheSalt: salt === null ? null : textValue(salt, 'cache_salt', MAX_SALT_LENGTH),
    category: category === null ? null : textValue(category, 'category', MAX_CATEGORY_LENGTH),
    timeoutSeconds: numberField(body, 'timeout', TIMEOUT_SECONDS) ?? null,
  };
}
