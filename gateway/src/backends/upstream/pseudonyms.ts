import { createHmac } from 'node:crypto';
import { LRUCache } from 'lru-cache';

/** Those that ask most, whose name is computed once. */
const MOST_TENANTS = 1_000;

/**
 * What tenants, and what they name, are called at an upstream: to it all of them are one client. The same thing of a tenant is always the
 * same there, at every gateway with this secret; of two tenants it never is; and who does not know the secret cannot tell what was
 * meant, nor what another's would be.
 */
export class Pseudonyms {
  readonly #key: Buffer;
  readonly #tenants = new LRUCache<string, string>({
    max: MOST_TENANTS,
    memoMethod: (tenant) => this.of('tenant', tenant),
  });

  constructor(secret: Buffer) {
    this.#key = createHmac('sha256', secret).update('polylora upstream').digest();
  }

  /**
   * @param kind keeps what is named for one purpose apart from what is for another
   * @param parts begin with the tenant, where it is one's own
   */
  of(kind: string, ...parts: readonly string[]): string {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([kind, ...parts]))
      .digest('base64url');
  }

  ofTenant(tenant: string): string {
    return this.#tenants.memo(tenant);
  }
}
