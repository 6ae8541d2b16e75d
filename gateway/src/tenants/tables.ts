import type { Database, Kysely, Tables, Transaction } from '@polylora/adapters-store';

/** Milliseconds since 1970. */
type Time = number;

export interface TenantTable {
  readonly id: string;
  name: string | null;
  /** 0 or 1. */
  blocked: number;
  /** JSON: names that its keys may use; `*` is all that is there for it. */
  models: string;
  /** JSON: as `limitsSchema`. */
  limits: string;
  weight: number;
  /** 0 or 1. */
  allow_priority: number;
  /** JSON. */
  metadata: string;
  readonly created_at: Time;
  updated_at: Time;
  /** Its id is never used again: what it left behind must not become somebody else's. */
  deleted_at: Time | null;
}

export interface KeyTable {
  readonly id: string;
  readonly tenant: string;
  role: 'operator' | 'admin' | 'user';
  alias: string | null;
  blocked: number;
  models: string;
  limits: string;
  metadata: string;
  /** null: never. */
  expires_at: Time | null;
  readonly created_by: string;
  readonly created_at: Time;
  updated_at: Time;
}

/** What a key is shown by: one, and while it is exchanged two. */
export interface KeySecretTable {
  /** HMAC-SHA-256 of it, in base64url. */
  readonly hash: string;
  readonly key: string;
  /** How it begins, for people to tell it from others. */
  readonly prefix: string;
  /** null: with its key. */
  expires_at: Time | null;
  readonly created_at: Time;
}

/** In billionths of the currency's unit for a token, so that sums are exact. */
export interface PriceTable {
  readonly model: string;
  input: number;
  cached_input: number;
  output: number;
  updated_at: Time;
}

/** What was used on a day in UTC. */
export interface SpendTable {
  /** `2026-11-22` */
  readonly day: string;
  readonly tenant: string;
  /** The key's id; empty: none. */
  readonly key: string;
  readonly model: string;
  requests: number;
  prompt_tokens: number;
  cached_tokens: number;
  completion_tokens: number;
  /** Billionths of the currency's unit. */
  money: number;
}

// An alias, not an interface: kysely asks for an index signature.
type TenantTables = {
  tenant: TenantTable;
  api_key: KeyTable;
  api_key_secret: KeySecretTable;
  price: PriceTable;
  spend: SpendTable;
};

/** The store's database with the tenants' tables in it, or a transaction of it. */
export type TenantDatabase = Kysely<Tables & TenantTables>;

export function withTenants(database: Database): TenantDatabase {
  return database.withTables<TenantTables>();
}

/** A transaction of `inTurn`, as one on the tenants' tables. */
export function tenantTransaction(transaction: Transaction<Tables>): TenantDatabase {
  return transaction.withTables<TenantTables>();
}
