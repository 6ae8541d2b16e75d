/** Whoever asks. */
export interface Principal {
  readonly tenant: string;
  /** The key's id, for grants to one key; null: none. */
  readonly key: string | null;
}

/** Every tenant, as a grantee. */
export const EVERYONE = '*';

export interface Grantee {
  readonly kind: 'tenant' | 'key';
  /** A tenant's or a key's id, or `EVERYONE`. */
  readonly grantee: string;
}
