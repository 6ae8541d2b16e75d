import type { Limits, LimitsBody } from './limits.ts';

export const ROLES = ['operator', 'admin', 'user'] as const;
/** `operator`: everything. `admin`: the tenant's keys and adapters. `user`: the models. */
export type Role = (typeof ROLES)[number];

/** The tenant of the operator's own keys and adapters. It has no limits, and cannot be blocked. */
export const OPERATOR_TENANT = 'operator';

export interface Tenant {
  readonly id: string;
  readonly name: string | null;
  readonly blocked: boolean;
  readonly models: readonly string[];
  readonly limits: Limits;
  readonly limitsBody: LimitsBody;
  /** Its share of the machine against others'. */
  readonly weight: number;
  readonly allowPriority: boolean;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Milliseconds since 1970, as all times. */
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface ApiKey {
  readonly id: string;
  readonly tenant: string;
  readonly role: Role;
  readonly alias: string | null;
  readonly blocked: boolean;
  readonly models: readonly string[];
  readonly limits: Limits;
  readonly limitsBody: LimitsBody;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** null: never. */
  readonly expiresAt: number | null;
  readonly createdBy: string;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** How it begins, the newest first: two while it is exchanged. */
  readonly secrets: readonly KeySecret[];
}

export interface KeySecret {
  readonly prefix: string;
  readonly expiresAt: number | null;
  readonly createdAt: number;
}
