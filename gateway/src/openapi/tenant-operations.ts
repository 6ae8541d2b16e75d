/** The routes of tenants, keys, prices and the audit log, and LiteLLM's. */
import { z } from 'zod';
import { litellmFields } from '../routes/admin/litellm-fields.ts';
import {
  keyChange,
  newKey,
  newPrice,
  newTenant,
  rotation,
  tenantChange,
} from '../routes/admin/tenant-body.ts';
import { limitsSchema } from '../tenants/limits.ts';
import type { Operation } from './operation.ts';

const time = z.int().meta({ description: 'Unix time in seconds.' });
const metadata = z.record(z.string(), z.unknown());

const tenant = z.object({
  id: z.string(),
  object: z.literal('tenant'),
  name: z.string().nullable(),
  blocked: z.boolean(),
  models: z.array(z.string()),
  limits: limitsSchema,
  weight: z.number(),
  allow_priority: z.boolean(),
  metadata,
  created: time,
  updated: time,
});

const key = z.object({
  id: z.string(),
  object: z.literal('api_key'),
  key: z.string().optional().meta({ description: 'Its text, where it was just made: shown this once.' }),
  tenant: z.string(),
  role: z.enum(['operator', 'admin', 'user']),
  alias: z.string().nullable(),
  blocked: z.boolean(),
  models: z.array(z.string()),
  limits: limitsSchema,
  metadata,
  expires: time.nullable(),
  secrets: z.array(z.object({ prefix: z.string(), expires: time.nullable(), created: time })),
  created_by: z.string(),
  created: time,
  updated: time,
});

const price = z.object({
  object: z.literal('price'),
  model: z.string(),
  input: z.number(),
  cached_input: z.number(),
  output: z.number(),
  source: z.enum(['api', 'file']).meta({
    description: 'Who has set it: this API, which wins, or the configuration file.',
  }),
});

const auditEntry = z.object({
  id: z.string(),
  object: z.literal('audit.entry'),
  created: time,
  actor: z.string().meta({ description: '`operator`, or a tenant, and the id of the key.' }),
  action: z.string(),
  subject: z.string(),
  details: z.unknown(),
  hash: z.string().meta({ description: 'Of the entry with the hash before it.' }),
});

const auditVerification = z.object({
  object: z.literal('audit.verification'),
  valid: z.boolean(),
  entries: z.int().meta({ description: 'How many are what was written, up to the first that is not.' }),
  hash: z.string().meta({ description: 'Of the last of them.' }),
  broken_at: z.string().nullable(),
});

const spend = z.object({
  object: z.literal('list'),
  data: z.array(
    z
      .object({
        requests: z.int(),
        prompt_tokens: z.int(),
        cached_tokens: z.int(),
        completion_tokens: z.int(),
        money: z.number(),
      })
      .loose(),
  ),
});

const deleted = z.object({ id: z.string(), deleted: z.literal(true) });
const days = z.object({
  from: z.iso.date().optional(),
  to: z.iso.date().optional(),
  by: z
    .string()
    .optional()
    .meta({ description: 'What the sums are of, with commas: `day`, `key`, `model`.' }),
});

function listOf<S extends z.ZodType>(item: S) {
  return z.object({ object: z.literal('list'), data: z.array(item), has_more: z.boolean() });
}

const pages = z.object({ after: z.string().optional(), limit: z.int().min(1).optional() });

const tenants = { tag: 'Tenants', access: 'operator' } as const;
const ownTenant = { tag: 'Tenants', access: 'administrator' } as const;
const keys = { tag: 'Keys', access: 'administrator' } as const;
const prices = { tag: 'Prices', access: 'operator' } as const;
const auditLog = { tag: 'Audit log', access: 'operator' } as const;
const litellm = { tag: "LiteLLM's keys", access: 'administrator' } as const;

const tenantAnswer = { name: 'Tenant', schema: tenant };
const keyAnswer = { name: 'Key', schema: key };
const litellmAnswer = { schema: z.object({}).loose() };
const named = z.object({ key: z.string().meta({ description: "A key's text or id." }) });

/** By method and path, as the router has them. */
export const TENANT_OPERATIONS: Readonly<Record<string, Operation>> = {
  'POST /admin/v1/tenants': {
    ...tenants,
    summary: 'Makes a tenant',
    request: { schema: newTenant },
    status: 201,
    answer: tenantAnswer,
  },
  'GET /admin/v1/tenants': {
    ...tenants,
    summary: 'Tenants',
    query: pages,
    answer: { schema: listOf(tenant) },
  },
  'GET /admin/v1/tenants/:id': { ...ownTenant, summary: 'A tenant', answer: tenantAnswer },
  'PATCH /admin/v1/tenants/:id': {
    ...tenants,
    summary: 'Changes a tenant',
    request: { schema: tenantChange },
    answer: tenantAnswer,
  },
  'DELETE /admin/v1/tenants/:id': { ...tenants, summary: 'Removes a tenant', answer: { schema: deleted } },
  'GET /admin/v1/tenants/:id/spend': {
    ...ownTenant,
    summary: 'What a tenant used',
    query: days,
    answer: { schema: spend },
  },
  'POST /admin/v1/keys': {
    ...keys,
    summary: 'Makes a key',
    request: { schema: newKey },
    status: 201,
    answer: keyAnswer,
  },
  'GET /admin/v1/keys': {
    ...keys,
    summary: 'Keys, the newest first',
    query: pages.extend({ tenant: z.string().optional() }),
    answer: { schema: listOf(key) },
  },
  'GET /admin/v1/keys/:id': { ...keys, summary: 'A key', answer: keyAnswer },
  'PATCH /admin/v1/keys/:id': {
    ...keys,
    summary: 'Changes a key',
    request: { schema: keyChange },
    answer: keyAnswer,
  },
  'DELETE /admin/v1/keys/:id': { ...keys, summary: 'Removes a key', answer: { schema: deleted } },
  'POST /admin/v1/keys/:id/rotate': {
    ...keys,
    summary: 'Gives a key another text, while the earlier one still holds',
    request: { schema: rotation },
    answer: keyAnswer,
  },
  'POST /admin/v1/keys/:id/block': { ...keys, summary: 'Blocks a key', answer: keyAnswer },
  'POST /admin/v1/keys/:id/unblock': { ...keys, summary: 'Lets it be used again', answer: keyAnswer },
  'GET /admin/v1/keys/:id/spend': {
    ...keys,
    summary: 'What a key used',
    query: days,
    answer: { schema: spend },
  },
  'GET /admin/v1/prices': { ...prices, summary: 'What tokens cost', answer: { schema: listOf(price) } },
  'PUT /admin/v1/prices/:model': {
    ...prices,
    summary: 'Sets what a million tokens cost',
    request: { schema: newPrice },
    answer: { name: 'Price', schema: price },
  },
  'DELETE /admin/v1/prices/:model': { ...prices, summary: 'Takes a price away' },
  'GET /admin/v1/audit': {
    ...auditLog,
    summary: 'What was done, the newest first',
    query: pages.extend({
      tenant: z.string().optional().meta({ description: 'Whose keys did it.' }),
      actor: z.string().optional(),
      action: z.string().optional().meta({ description: 'Such as `key.create`.' }),
      subject: z.string().optional().meta({ description: 'Such as `key:key_mwt4nybk1a2b3c4d5e6f`.' }),
    }),
    answer: { schema: listOf(auditEntry) },
  },
  'GET /admin/v1/audit/verify': {
    ...auditLog,
    summary: 'Whether all entries are what was written',
    answer: { schema: auditVerification },
  },
  'POST /key/generate': {
    ...litellm,
    summary: 'Makes a key',
    request: { schema: z.object({ ...litellmFields, team_id: z.string().nullish() }) },
    answer: litellmAnswer,
  },
  'POST /key/update': {
    ...litellm,
    summary: 'Changes a key',
    request: { schema: named.extend(litellmFields) },
    answer: litellmAnswer,
  },
  'POST /key/regenerate': {
    ...litellm,
    summary: 'Gives a key another text, and changes it where fields are given',
    request: {
      schema: named.extend(litellmFields).extend({
        grace_period: z.string().nullish().meta({
          description: 'How long the earlier text holds, such as `24h`; up to `90d`, and not at all without.',
        }),
      }),
    },
    answer: litellmAnswer,
  },
  'POST /key/:key/regenerate': {
    ...litellm,
    summary: 'Gives the key that the path names another text, as `/key/regenerate` does',
    request: { schema: z.object({ ...litellmFields, grace_period: z.string().nullish() }) },
    answer: litellmAnswer,
  },
  'POST /key/block': {
    ...litellm,
    summary: 'Blocks a key',
    request: { schema: named },
    answer: litellmAnswer,
  },
  'POST /key/unblock': {
    ...litellm,
    summary: 'Lets it be used again',
    request: { schema: named },
    answer: litellmAnswer,
  },
  'POST /key/delete': {
    ...litellm,
    summary: 'Removes keys',
    request: {
      schema: z.object({ keys: z.array(z.string()).nullish(), key_aliases: z.array(z.string()).nullish() }),
    },
    answer: litellmAnswer,
  },
  'GET /key/info': {
    ...litellm,
    access: 'client',
    summary: 'What is known of the key that asks, or, to administrators, of the one that is named',
    query: z.object({ key: z.string().optional() }),
    answer: litellmAnswer,
  },
  'GET /key/list': { ...litellm, summary: 'Keys', answer: litellmAnswer },
};
