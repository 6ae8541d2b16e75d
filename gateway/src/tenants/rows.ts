import type { Selectable } from '@polylora/adapters-store';
import { limitsOf, limitsSchema } from './limits.ts';
import type { KeySecretTable, KeyTable, TenantTable } from './tables.ts';
import type { ApiKey, Tenant } from './tenant.ts';

export function readTenant(row: Selectable<TenantTable>): Tenant {
  const limitsBody = limitsSchema.parse(JSON.parse(row.limits));
  return {
    id: row.id,
    name: row.name,
    blocked: row.blocked !== 0,
    models: JSON.parse(row.models),
    limits: limitsOf(limitsBody),
    limitsBody,
    weight: row.weight,
    allowPriority: row.allow_priority !== 0,
    metadata: JSON.parse(row.metadata),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export function readKey(row: Selectable<KeyTable>, secrets: readonly Selectable<KeySecretTable>[]): ApiKey {
  const limitsBody = limitsSchema.parse(JSON.parse(row.limits));
  return {
    id: row.id,
    tenant: row.tenant,
    role: row.role,
    alias: row.alias,
    blocked: row.blocked !== 0,
    models: JSON.parse(row.models),
    limits: limitsOf(limitsBody),
    limitsBody,
    metadata: JSON.parse(row.metadata),
    expiresAt: row.expires_at,
    createdBy: row.created_by,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    secrets: secrets
      .toSorted((a, b) => b.created_at - a.created_at)
      .map(({ prefix, expires_at, created_at }) => ({
        prefix,
        expiresAt: expires_at,
        createdAt: created_at,
      })),
  };
}
