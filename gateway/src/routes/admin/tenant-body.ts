import { z } from 'zod';
import { limitsSchema, moneyOf } from '../../tenants/limits.ts';
import { perMillion } from '../../tenants/price.ts';
import type { SpendRow } from '../../tenants/spend-views.ts';
import { type ApiKey, ROLES, type Tenant } from '../../tenants/tenant.ts';

const MOST_MODELS = 1_000;
const MOST_METADATA = 64;

const text = (most: number) => z.string().min(1).max(most);
const models = z.array(text(128)).max(MOST_MODELS);
const metadata = z
  .record(text(64), z.union([z.string().max(1_024), z.number(), z.boolean(), z.null()]))
  .refine((value) => Object.keys(value).length <= MOST_METADATA, `at most ${MOST_METADATA} entries.`);

/** A tenant's id is the beginning of its adapters' names, too. */
const TENANT_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

const tenantFields = {
  name: text(256).nullish(),
  blocked: z.boolean().nullish(),
  models: models.nullish(),
  limits: limitsSchema.nullish(),
  weight: z.number().min(0.01).max(100).nullish(),
  allow_priority: z.boolean().nullish(),
  metadata: metadata.nullish(),
};

export const newTenant = z.strictObject({
  id: z
    .string()
    .regex(
      TENANT_ID,
      "it must be of letters, digits, '.', '_' and '-', a letter or digit first, at most 63.",
    ),
  ...tenantFields,
});
export const tenantChange = z.strictObject(tenantFields);

const keyFields = {
  role: z.enum(ROLES).nullish(),
  alias: text(256).nullish(),
  blocked: z.boolean().nullish(),
  models: models.nullish(),
  limits: limitsSchema.nullish(),
  metadata: metadata.nullish(),
  /** Unix time in seconds; null: never. */
  expires: z.int().min(0).max(253_402_300_799).nullish(),
};

export const newKey = z.strictObject({ tenant: text(63).nullish(), ...keyFields });
export const keyChange = z.strictObject(keyFields);
export const rotation = z.strictObject({
  overlap_seconds: z
    .int()
    .min(0)
    .max(90 * 86_400)
    .nullish(),
});

export const newPrice = z.strictObject({
  input: perMillion,
  cached_input: perMillion.nullish(),
  output: perMillion,
});

export function tenantBody({ id, name, blocked, models, limitsBody, weight, ...tenant }: Tenant): object {
  return {
    id,
    object: 'tenant',
    name,
    blocked,
    models,
    limits: limitsBody,
    weight,
    allow_priority: tenant.allowPriority,
    metadata: tenant.metadata,
    created: seconds(tenant.createdAt),
    updated: seconds(tenant.updatedAt),
  };
}

/** @param text of the key, where it was just made */
export function keyBody(key: ApiKey, text: string | null = null): object {
  return {
    id: key.id,
    object: 'api_key',
    ...(text === null ? {} : { key: text }),
    tenant: key.tenant,
    role: key.role,
    alias: key.alias,
    blocked: key.blocked,
    models: key.models,
    limits: key.limitsBody,
    metadata: key.metadata,
    expires: key.expiresAt === null ? null : seconds(key.expiresAt),
    secrets: key.secrets.map(({ prefix, expiresAt, createdAt }) => ({
      prefix,
      expires: expiresAt === null ? null : seconds(expiresAt),
      created: seconds(createdAt),
    })),
    created_by: key.createdBy,
    created: seconds(key.createdAt),
    updated: seconds(key.updatedAt),
  };
}

export function spendBody(rows: readonly SpendRow[]): object {
  return {
    object: 'list',
    data: rows.map(({ promptTokens, cachedTokens, completionTokens, money, requests, ...of }) => ({
      ...of,
      requests,
      prompt_tokens: promptTokens,
      cached_tokens: cachedTokens,
      completion_tokens: completionTokens,
      money: moneyOf(money),
    })),
  };
}

function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}
