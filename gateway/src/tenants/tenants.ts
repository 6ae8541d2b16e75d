import { ApiError } from '../errors.ts';
import { quoted } from '../openai/fields.ts';
import type { Actor, TenantChanges } from './changes.ts';
import type { LimitsBody } from './limits.ts';
import { readTenant } from './rows.ts';
import type { TenantDatabase } from './tables.ts';
import { OPERATOR_TENANT, type Tenant } from './tenant.ts';

/** What can be said of a tenant. */
export interface TenantFields {
  readonly name: string | null;
  readonly blocked: boolean;
  readonly models: readonly string[];
  readonly limits: LimitsBody;
  readonly weight: number;
  readonly allowPriority: boolean;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface PageQuery {
  readonly limit: number;
  /** Ids after this one. */
  readonly after: string | null;
  /** Of those, so many are left out. */
  readonly skip?: number;
}

/** The tenants, as their administrators change and see them. */
export class Tenants {
  readonly #database: TenantDatabase;
  readonly #changes: TenantChanges;

  constructor(database: TenantDatabase, changes: TenantChanges) {
    this.#database = database;
    this.#changes = changes;
  }

  /** @throws ApiError tenant_exists, also for an id that was once used */
  create(id: string, fields: TenantFields, actor: Actor): Promise<Tenant> {
    return this.#changes.do(actor, async (transaction, at) => {
      const there = await transaction
        .selectFrom('tenant')
        .select('id')
        .where('id', '=', id)
        .executeTakeFirst();
      if (there !== undefined) throw new ApiError('tenant_exists', 'The id is, or was, a tenant.', 'id');
      const row = { id, ...columns(fields), created_at: at, updated_at: at, deleted_at: null };
      await transaction.insertInto('tenant').values(row).execute();
      return [readTenant(row), { action: 'tenant.create', subject: `tenant:${id}`, details: { ...fields } }];
    });
  }

  /** @throws ApiError tenant_not_found */
  update(id: string, change: (tenant: Tenant) => TenantFields, actor: Actor): Promise<Tenant> {
    return this.#changes.do(actor, async (transaction, at) => {
      const row = await transaction
        .selectFrom('tenant')
        .selectAll()
        .where('id', '=', id)
        .where('deleted_at', 'is', null)
        .executeTakeFirst();
      if (row === undefined) throw tenantNotFound(id);
      const fields = change(readTenant(row));
      if (id === OPERATOR_TENANT && fields.blocked)
        throw new ApiError('invalid_value', "The operator's own tenant cannot be blocked.", 'blocked');
      const changed = { ...row, ...columns(fields), updated_at: at };
      await transaction
        .updateTable('tenant')
        .set({ ...columns(fields), updated_at: at })
        .where('id', '=', id)
        .execute();
      return [
        readTenant(changed),
        { action: 'tenant.update', subject: `tenant:${id}`, details: { ...fields } },
      ];
    });
  }

  /** Removes a tenant with its keys; its spend is kept, and its id never used again. @throws ApiError tenant_not_found */
  remove(id: string, actor: Actor): Promise<void> {
    return this.#changes.do(actor, async (transaction, at) => {
      if (id === OPERATOR_TENANT)
        throw new ApiError('invalid_value', "The operator's own tenant cannot be removed.", 'id');
      const { numUpdatedRows } = await transaction
        .updateTable('tenant')
        .set({ deleted_at: at, updated_at: at, blocked: 1 })
        .where('id', '=', id)
        .where('deleted_at', 'is', null)
        .executeTakeFirst();
      if (numUpdatedRows === 0n) throw tenantNotFound(id);
      const keys = transaction.selectFrom('api_key').select('id').where('tenant', '=', id);
      await transaction.deleteFrom('api_key_secret').where('key', 'in', keys).execute();
      await transaction.deleteFrom('api_key').where('tenant', '=', id).execute();
      return [undefined, { action: 'tenant.remove', subject: `tenant:${id}` }];
    });
  }

  /** @throws ApiError tenant_not_found */
  async find(id: string): Promise<Tenant> {
    const row = await this.#database
      .selectFrom('tenant')
      .selectAll()
      .where('id', '=', id)
      .where('deleted_at', 'is', null)
      .executeTakeFirst();
    if (row === undefined) throw tenantNotFound(id);
    return readTenant(row);
  }

  /** As `find`, but that also a tenant that was removed is there: what it spent is. @throws ApiError tenant_not_found */
  async assertEver(id: string): Promise<void> {
    const row = await this.#database
      .selectFrom('tenant')
      .select('id')
      .where('id', '=', id)
      .executeTakeFirst();
    if (row === undefined) throw tenantNotFound(id);
  }

  /** In the order of their ids. */
  async list({ limit, after }: PageQuery): Promise<Tenant[]> {
    let query = this.#database
      .selectFrom('tenant')
      .selectAll()
      .where('deleted_at', 'is', null)
      .orderBy('id')
      .limit(limit);
    if (after !== null) query = query.where('id', '>', after);
    return (await query.execute()).map(readTenant);
  }
}

export function tenantNotFound(id: string): ApiError {
  return new ApiError('tenant_not_found', `There is no tenant '${quoted(id)}'.`);
}

function columns({ name, blocked, models, limits, weight, allowPriority, metadata }: TenantFields) {
  return {
    name,
    blocked: blocked ? 1 : 0,
    models: JSON.stringify(models),
    limits: JSON.stringify(limits),
    weight,
    allow_priority: allowPriority ? 1 : 0,
    metadata: JSON.stringify(metadata),
  };
}
