import type { Priority, SchedulingParams } from '@polylora/engine';
import { z } from 'zod';
import type { JsonObject } from './fields.ts';
import { parse } from './parse.ts';
import { decimal, optional, text } from './schema-parts.ts';

/** OpenAI's service tiers, and what they mean here. */
const TIERS = {
  auto: 'normal',
  default: 'normal',
  scale: 'normal',
  priority: 'high',
  flex: 'batch',
} as const satisfies Record<string, Priority>;

/** What a request was served as, in OpenAI's words. */
export type ServiceTier = 'default' | 'priority' | 'flex';

export const SERVED = { normal: 'default', high: 'priority', batch: 'flex' } as const satisfies Record<
  Priority,
  ServiceTier
>;

export interface SchedulingOptions {
  readonly tenant: string;
  /** The tenant's share against others'. */
  readonly weight: number;
  /** Whether clients may ask to come first; otherwise 'priority' is served as 'default'. */
  readonly allowPriority: boolean;
}

/** The fields that say how a request stands to others; `cache_salt` is vLLM's. */
export const schedulingFields = {
  service_tier: optional(
    z.enum(Object.keys(TIERS) as (keyof typeof TIERS)[]),
    '`priority` comes first where clients may ask for that, `flex` when nothing else waits.',
    'auto',
  ),
  cache_salt: optional(
    text(256),
    'Requests with different ones never share a cached prefix, nor an answer of the answer cache.',
  ),
  category: optional(text(64), 'Requests of one kind, whose lengths are foretold from each other.'),
  timeout: optional(decimal(0.001, 86_400), 'Seconds after which nobody needs the answer.'),
};

const schedulingBody = z.compile(z.object(schedulingFields));

/** @throws ApiError for the first field that is wrong */
export function readScheduling(
  json: JsonObject,
  { tenant, weight, allowPriority }: SchedulingOptions,
): SchedulingParams {
  const body = parse(schedulingBody, json);
  const tier = TIERS[body.service_tier ?? 'auto'];
  return {
    tenant,
    weight,
    priority: tier === 'high' && !allowPriority ? 'normal' : tier,
    cacheSalt: body.cache_salt ?? null,
    category: body.category ?? null,
    timeoutSeconds: body.timeout ?? null,
  };
}

/** What the answer says of a request's `service_tier`: null where the client did not ask for one. */
export function answeredTier(
  { service_tier: asked = null }: JsonObject,
  { priority }: SchedulingParams,
): ServiceTier | null {
  return asked === null ? null : SERVED[priority];
}
