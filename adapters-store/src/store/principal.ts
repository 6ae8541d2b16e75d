/** Whoever asks. */
export interface Principal {
  readonly tenant: string;
  /** The key's id, for grants to one key; null: none. */
  readonly key: string | null;
  /** Who it is in the audit log, where that is somebody else than the tenant: its operator, or one of its keys. */
  readonly actor?: string;
  /** Lists of names, each of which must let a model be used, whatever was granted; absent: none is in the way. */
  readonly models?: readonly (readonly string[])[];
}

/** Every tenant, as a grantee. */
export const EVERYONE = '*';

export interface Grantee {
  readonly kind: 'tenant' | 'key';
  /** A tenant's or a key's id, or `EVERYONE`. */
  readonly grantee: string;
}
