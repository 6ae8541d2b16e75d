import { hash, timingSafeEqual } from 'node:crypto';
import { ApiError } from '../errors.ts';
import type { KeyHasher } from '../tenants/key-hash.ts';
import type { Registry } from '../tenants/registry.ts';
import { type Access, OPERATOR_ACCESS } from './access.ts';

/** Finds out who asks. */
export interface Authenticator {
  /** @throws ApiError invalid_api_key */
  client(authorization: string | undefined): Access | Promise<Access>;
  /** For the routes of administrators, after `client`. @throws ApiError */
  administrator(access: Access, authorization: string | undefined): Access;
}

const NO_KEY = 'A valid API key is needed, as a bearer token (authorization: Bearer plk_...).';

/** Lets in whoever has a key. */
export class KeyAuthenticator implements Authenticator {
  readonly #hasher: KeyHasher;
  readonly #registry: Registry;
  readonly #operatorHash: Buffer | null;

  /** @param operatorKey of the configuration; null: there are only the database's */
  constructor(hasher: KeyHasher, registry: Registry, operatorKey: string | null) {
    this.#hasher = hasher;
    this.#registry = registry;
    this.#operatorHash = operatorKey === null ? null : Buffer.from(hasher.hash(operatorKey));
  }

  client(authorization: string | undefined): Access | Promise<Access> {
    const text = bearer(authorization);
    if (text === null) throw refused();
    const hash = this.#hasher.hash(text);
    if (this.#operatorHash !== null && timingSafeEqual(Buffer.from(hash), this.#operatorHash))
      return OPERATOR_ACCESS;
    const found = this.#registry.find(text, hash);
    return found instanceof Promise ? found.then(orRefused) : orRefused(found);
  }

  administrator(access: Access): Access {
    if (access.role !== 'user') return access;
    throw new ApiError('insufficient_permissions', "This needs an administrator's key.");
  }
}

/** Lets everybody in: requests with one key are one tenant's, and those without are another's. */
export class OpenAuthenticator implements Authenticator {
  readonly #operatorDigest: Buffer | null;

  constructor(operatorKey: string | null) {
    this.#operatorDigest = operatorKey === null ? null : sha256(operatorKey);
  }

  client(authorization: string | undefined): Access {
    const text = bearer(authorization);
    // Never the key itself, because tenants appear in metrics and logs.
    const tenant = text === null ? 'anonymous' : `key-${sha256(text).toString('hex').slice(0, 12)}`;
    return { principal: { tenant, key: null }, role: 'user', tenant: null, key: null };
  }

  administrator(_access: Access, authorization: string | undefined): Access {
    if (this.#operatorDigest === null) {
      const message =
        'The admin API is off. Start the server with an operator key (POLYLORA_OPERATOR_KEY) to turn it on.';
      throw new ApiError('admin_disabled', message);
    }
    // Of equal length and in constant time: how long it takes tells nothing of how much was right.
    if (!timingSafeEqual(sha256(bearer(authorization) ?? ''), this.#operatorDigest))
      throw new ApiError('invalid_api_key', 'This needs the operator key, as a bearer token.');
    return OPERATOR_ACCESS;
  }
}

function bearer(authorization: string | undefined): string | null {
  return /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1] ?? null;
}

function orRefused(access: Access | null): Access {
  if (access === null) throw refused();
  return access;
}

/** The same whatever is wrong with a key. */
function refused(): ApiError {
  return new ApiError('invalid_api_key', NO_KEY);
}

function sha256(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}
