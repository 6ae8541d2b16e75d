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
  /**
   * Lets an administrator begin a session.
   * @param key as somebody has written it
   * @returns who they are, and what `resume` finds that out by, for as long as the key holds
   * @throws ApiError invalid_api_key, insufficient_permissions, admin_disabled
   */
  signIn(key: string): Promise<{ readonly proof: string; readonly access: Access }>;
  /** What `resume` finds out by who came with this; null where there is no key in it. */
  proofOf(authorization: string | undefined): string | null;
  /** An administrator who has signed in, or has come with a key; null where their key does not hold any more. */
  resume(proof: string): Promise<Access | null>;
}

const NO_KEY_TO_SIGN_IN =
  'This is no key, or one that does not hold any more. Sign in with the whole key (plk_...).';
const ADMIN_IS_OFF =
  'The admin API is off. Start the server with an operator key (POLYLORA_OPERATOR_KEY) to turn it on.';
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
    if (this.#isOperator(hash)) return OPERATOR_ACCESS;
    const found = this.#registry.find(text, hash);
    return found instanceof Promise ? found.then(orRefused) : orRefused(found);
  }

  administrator(access: Access): Access {
    if (access.role !== 'user') return access;
    throw new ApiError('insufficient_permissions', "This needs an administrator's key.");
  }

  /** What it is found by later is its hash: a key that is rotated, because somebody else has it, ends the sessions of its former text. */
  async signIn(key: string): Promise<{ readonly proof: string; readonly access: Access }> {
    const proof = this.#hasher.hash(key);
    const access = this.#isOperator(proof) ? OPERATOR_ACCESS : await this.#registry.find(key, proof);
    if (access === null) throw new ApiError('invalid_api_key', NO_KEY_TO_SIGN_IN, 'key');
    if (access.role === 'user') {
      const message =
        "The dashboard is for administrators: sign in with an operator's key, or with one of a tenant's administrator.";
      throw new ApiError('insufficient_permissions', message, 'key');
    }
    return { proof, access };
  }

  proofOf(authorization: string | undefined): string | null {
    const text = bearer(authorization);
    return text === null ? null : this.#hasher.hash(text);
  }

  async resume(proof: string): Promise<Access | null> {
    const access = this.#isOperator(proof) ? OPERATOR_ACCESS : await this.#registry.find(null, proof);
    return access?.role === 'user' ? null : access;
  }

  #isOperator(hash: string): boolean {
    const [given, expected] = [Buffer.from(hash), this.#operatorHash];
    return expected !== null && given.length === expected.length && timingSafeEqual(given, expected);
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
    if (!this.#isOperator(bearer(authorization) ?? ''))
      throw new ApiError('invalid_api_key', 'This needs the operator key, as a bearer token.');
    return OPERATOR_ACCESS;
  }

  async signIn(key: string): Promise<{ readonly proof: string; readonly access: Access }> {
    if (!this.#isOperator(key))
      throw new ApiError(
        'invalid_api_key',
        "This is not the operator key of the server's configuration.",
        'key',
      );
    return { proof: proofOf(key), access: OPERATOR_ACCESS };
  }

  proofOf(authorization: string | undefined): string | null {
    const text = bearer(authorization);
    return text === null ? null : proofOf(text);
  }

  async resume(proof: string): Promise<Access | null> {
    const digest = this.#operatorDigest;
    const isSame = digest !== null && timingSafeEqual(sha256(proof), sha256(digest.toString('base64url')));
    return isSame ? OPERATOR_ACCESS : null;
  }

  /** @throws ApiError admin_disabled */
  #isOperator(key: string): boolean {
    if (this.#operatorDigest === null) throw new ApiError('admin_disabled', ADMIN_IS_OFF);
    // Of equal length and in constant time: how long it takes tells nothing of how much was right.
    return timingSafeEqual(sha256(key), this.#operatorDigest);
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

/** What the operator key of the configuration is known by in a session, as long as it is the same. */
function proofOf(key: string): string {
  return sha256(key).toString('base64url');
}

function sha256(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}
