import { hash } from 'node:crypto';

/** Whose blocks may be found: equal tokens give equal blocks only where all of this is equal. */
export interface PrefixScope {
  /** Digest of the base model. */
  readonly model: string;
  readonly adapter: string | null;
  /** null: all tenants, which is the operator's choice. */
  readonly tenant: string | null;
  /** What the client adds to keep requests apart; null: nothing. */
  readonly salt: string | null;
}

/** The identity before a chain's first block. Fields are tagged and length-prefixed, so that no two scopes collide. */
export function prefixRoot({ model, adapter, tenant, salt }: PrefixScope): string {
  const fields = [model, adapter, tenant, salt].flatMap((field) => {
    if (field === null) return [Buffer.from([0])];
    const bytes = Buffer.from(field);
    const length = Buffer.alloc(5);
    length[0] = 1;
    length.writeUInt32LE(bytes.length, 1);
    return [length, bytes];
  });
  return hash('sha256', Buffer.concat([Buffer.from('polylora prefix 1'), ...fields]), 'binary');
}
