import { randomBytes } from 'node:crypto';
import { ApiError } from '../errors.ts';
import { quoted } from '../openai/fields.ts';
import type { Actor, TenantChanges } from './changes.ts';
import { type KeyHasher, keyPrefix, newKeyText } from './key-hash.ts';
import type { LimitsBody } from './limits.ts';
import { readKey } from './rows.ts';
import type { TenantDatabase } from './tables.ts';
import { type ApiKey, OPERATOR_TENANT, type Role } from './tenant.ts';
import { type PageQuery, tenantNotFound } from './tenants.ts';

/** Texts that ended longer ago are removed when there is another. */
const ENDED_KEPT_MILLISECONDS = 86_400_000;

/** What can be said of a key. */
export interface KeyFields {
  readonly role: Role;
  readonly alias: string | null;
  readonly blocked: boolean;
  readonly models: readonly string[];
  readonly limits: LimitsBody;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Milliseconds since 1970; null: never. */
  readonly expiresAt: number | null;
}

/** A key with its text, which is nowhere else: whoever asked for it sees it this once. */
export interface NewKey {
  readonly key: ApiKey;
  readonly text: string;
}

/** Whose keys are seen: one tenant's, or (null) all. */
export type KeyScope = string | null;

/** Which of them. */
export interface KeyFilter {
  readonly id?: string;
  readonly alias?: string;
}

/** The keys, as their administrators change and see them. Another tenant's are not there. */
export class Keys {
  readonly #database: TenantDatabase;
  readonly #changes: TenantChanges;
  readonly #hasher: KeyHasher;

  constructor(database: TenantDatabase, changes: TenantChanges, hasher: KeyHasher) {
    this.#database = database;
    this.#changes = changes;
    this.#hasher = hasher;
  }

  /** @throws ApiError tenant_not_found */
  create(tenant: string, fields: KeyFields, actor: Actor): Promise<NewKey> {
    return this.#changes.do(actor, async (transaction, at) => {
      const made = await this.#insert(transaction, tenant, fields, actor, at);
      return [made, { action: 'key.create', subject: `key:${made.key.id}`, details: { tenant, ...fields } }];
    });
  }

  /** Makes the first operator's key where there is none, once however many gateways start; null where there is one. */
  async createFirst(actor: Actor): Promise<NewKey | null> {
    if (await this.#hasOperator(this.#database)) return null;
    return this.#changes.do(actor, async (transaction, at) => {
      if (await this.#hasOperator(transaction)) return [null, null];
      const made = await this.#insert(transaction, OPERATOR_TENANT, OPERATOR_FIELDS, actor, at);
      return [made, { action: 'key.first', subject: `key:${made.key.id}` }];
    });
  }

  /** @throws ApiError key_not_found */
  update(id: string, scope: KeyScope, change: (key: ApiKey) => KeyFields, actor: Actor): Promise<ApiKey> {
    return this.#changes.do(actor, async (transaction, at) => {
      const fields = change(await this.#find(transaction, id, scope));
      await transaction
        .updateTable('api_key')
        .set({ ...columns(fields), updated_at: at })
        .where('id', '=', id)
        .execute();
      const key = await this.#find(transaction, id, scope);
      return [
        key,
        { action: 'key.update', subject: `key:${id}`, details: { tenant: key.tenant, ...fields } },
      ];
    });
  }

  /**
   * Gives a key another text. The earlier ones hold for a while longer, so that they can be exchanged without a break;
   * the key's id, grants, limits and spend stay.
   * @throws ApiError key_not_found
   */
  rotate(id: string, scope: KeyScope, overlapSeconds: number, actor: Actor): Promise<NewKey> {
    return this.#changes.do(actor, async (transaction, at) => {
      const { tenant } = await this.#find(transaction, id, scope);
      const end = at + overlapSeconds * 1000;
      // One that was to end earlier still does.
      await transaction
        .updateTable('api_key_secret')
        .set({ expires_at: end })
        .where('key', '=', id)
        .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', end)]))
        .execute();
      // What ends now must not hold again when the clock is set back; what seems to have ended must not be lost where it is ahead.
      await transaction
        .deleteFrom('api_key_secret')
        .where('key', '=', id)
        .where('expires_at', '<=', overlapSeconds === 0 ? at : at - ENDED_KEPT_MILLISECONDS)
        .execute();
      const text = await this.#insertSecret(transaction, id, at);
      await transaction.updateTable('api_key').set({ updated_at: at }).where('id', '=', id).execute();
      const key = await this.#find(transaction, id, scope);
      const details = { tenant, overlap_seconds: overlapSeconds };
      return [
        { key, text },
        { action: 'key.rotate', subject: `key:${id}`, details },
      ];
    });
  }

  /** @throws ApiError key_not_found */
  remove(id: string, scope: KeyScope, actor: Actor): Promise<ApiKey> {
    return this.#changes.do(actor, async (transaction) => {
      const key = await this.#find(transaction, id, scope);
      await transaction.deleteFrom('api_key_secret').where('key', '=', id).execute();
      await transaction.deleteFrom('api_key').where('id', '=', id).execute();
      return [key, { action: 'key.remove', subject: `key:${id}`, details: { tenant: key.tenant } }];
    });
  }

  /** @throws ApiError key_not_found, the same for another tenant's */
  find(id: string, scope: KeyScope): Promise<ApiKey> {
    return this.#find(this.#database, id, scope);
  }

  /** The id of the key with this text, or null. */
  async idOf(text: string): Promise<string | null> {
    const row = await this.#database
      .selectFrom('api_key_secret')
      .select('key')
      .where('hash', '=', this.#hasher.hash(text))
      .executeTakeFirst();
    return row?.key ?? null;
  }

  /** The newest first, which is the order of their ids from the end. `after`: the id of the last before; it need not be there any more. */
  async list(
    scope: KeyScope,
    { limit, after, skip = 0 }: PageQuery,
    filter: KeyFilter = {},
  ): Promise<ApiKey[]> {
    let query = this.#matching(scope, filter).selectAll().orderBy('id', 'desc').limit(limit).offset(skip);
    if (after !== null) query = query.where('id', '<', after);
    const rows = await query.execute();
    if (rows.length === 0) return [];
    const secrets = await this.#database
      .selectFrom('api_key_secret')
      .selectAll()
      .where(
        'key',
        'in',
        rows.map(({ id }) => id),
      )
      .execute();
    return rows.map((row) =>
      readKey(
        row,
        secrets.filter(({ key }) => key === row.id),
      ),
    );
  }

  async count(scope: KeyScope, filter: KeyFilter = {}): Promise<number> {
    const query = this.#matching(scope, filter).select(({ fn }) => fn.countAll().as('keys'));
    return Number((await query.executeTakeFirst())?.keys ?? 0);
  }

  #matching(scope: KeyScope, { id, alias }: KeyFilter) {
    let query = this.#database.selectFrom('api_key');
    if (scope !== null) query = query.where('tenant', '=', scope);
    if (id !== undefined) query = query.where('id', '=', id);
    if (alias !== undefined) query = query.where('alias', '=', alias);
    return query;
  }

  async #hasOperator(tables: TenantDatabase): Promise<boolean> {
    const row = await tables
      .selectFrom('api_key')
      .select('id')
      .where('role', '=', 'operator')
      .where('blocked', '=', 0)
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  }

  async #find(tables: TenantDatabase, id: string, scope: KeyScope): Promise<ApiKey> {
    const row = await tables.selectFrom('api_key').selectAll().where('id', '=', id).executeTakeFirst();
    if (row === undefined || (scope !== null && row.tenant !== scope)) throw keyNotFound(id);
    const secrets = await tables.selectFrom('api_key_secret').selectAll().where('key', '=', id).execute();
    return readKey(row, secrets);
  }

  async #insert(
    transaction: TenantDatabase,
    tenant: string,
    fields: KeyFields,
    actor: Actor,
    at: number,
  ): Promise<NewKey> {
    const there = await transaction
      .selectFrom('tenant')
      .select('id')
      .where('id', '=', tenant)
      .where('deleted_at', 'is', null)
      .executeTakeFirst();
    if (there === undefined) throw tenantNotFound(tenant);
    const id = newKeyId(at);
    const row = { id, tenant, ...columns(fields), created_by: actor, created_at: at, updated_at: at };
    await transaction.insertInto('api_key').values(row).execute();
    const text = await this.#insertSecret(transaction, id, at);
    return { key: await this.#find(transaction, id, tenant), text };
  }

  async #insertSecret(transaction: TenantDatabase, key: string, at: number): Promise<string> {
    const text = newKeyText();
    await transaction
      .insertInto('api_key_secret')
      .values({
        hash: this.#hasher.hash(text),
        key,
        prefix: keyPrefix(text),
        expires_at: null,
        created_at: at,
      })
      .execute();
    return text;
  }
}

export const OPERATOR_FIELDS: KeyFields = {
  role: 'operator',
  alias: 'operator',
  blocked: false,
  models: ['*'],
  limits: {},
  metadata: {},
  expiresAt: null,
};

/**
 * Ids sort by when their keys were made: a list has the newest where people look for what they just made, and goes on
 * after a key that is revoked meanwhile. They were sixteen random hex digits once; times begin with a letter behind `f`
 * until 2059 (eight digits of base 36), so that those come last.
 * @param at milliseconds of Unix time
 */
function newKeyId(at: number): string {
  return `key_${at.toString(36)}${randomBytes(6).toString('hex')}`;
}

function keyNotFound(id: string): ApiError {
  return new ApiError('key_not_found', `There is no key '${quoted(id)}'.`);
}

function columns({ role, alias, blocked, models, limits, metadata, expiresAt }: KeyFields) {
  return {
    role,
    alias,
    blocked: blocked ? 1 : 0,
    models: JSON.stringify(models),
    limits: JSON.stringify(limits),
    metadata: JSON.stringify(metadata),
    expires_at: expiresAt,
  };
}
