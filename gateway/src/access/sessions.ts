import { hkdfSync, randomBytes } from 'node:crypto';
import { EncryptJWT, errors, jwtDecrypt } from 'jose';
import { z } from 'zod';

/** After which somebody has to sign in again: a working day. */
const SESSION_SECONDS = 12 * 60 * 60;
const KEY_BYTES = 32;
const CSRF_BYTES = 32;
/** More than any of ours has. */
const MOST_CHARACTERS = 1_024;

const ALGORITHM = { alg: 'dir', enc: 'A256GCM' } as const;

const claims = z.object({ sub: z.string(), csrf: z.string(), exp: z.number() });

/** Somebody who has signed in, as their browser's cookie has it. */
export interface Session {
  /** What their key is looked up by, each time: the authenticator's. */
  readonly proof: string;
  /** Comes along with whatever changes something. Other sites' pages do not know it. */
  readonly csrf: string;
  /** Unix time in seconds. */
  readonly expiresAt: number;
}

/**
 * Sessions of people who administer the server in a browser. All of a session is in its cookie, encrypted, so that each server with the
 * same secret knows it and none has to remember it. JWE (RFC 7516): `dir` with A256GCM, which makes whatever is altered unreadable.
 */
export class Sessions {
  readonly #key: Uint8Array;
  readonly #now: () => number;

  /**
   * @param secret 32 bytes that are the same for all gateways of a database
   * @param now milliseconds since 1970
   */
  constructor(secret: Buffer, now: () => number) {
    // A key of its own for each purpose.
    this.#key = new Uint8Array(
      hkdfSync('sha256', secret, new Uint8Array(), 'polylora sessions v1', KEY_BYTES),
    );
    this.#now = now;
  }

  /** @returns the session, and the text of its cookie */
  async begin(proof: string): Promise<{ readonly session: Session; readonly text: string }> {
    const begun = Math.floor(this.#now() / 1000);
    const expiresAt = begun + SESSION_SECONDS;
    const csrf = randomBytes(CSRF_BYTES).toString('base64url');
    const text = await new EncryptJWT({ csrf })
      .setProtectedHeader(ALGORITHM)
      .setSubject(proof)
      .setIssuedAt(begun)
      .setExpirationTime(expiresAt)
      .encrypt(this.#key);
    return { session: { proof, csrf, expiresAt }, text };
  }

  /** The session of a cookie; null where it is over, or is none of ours, which are not told apart. */
  async open(text: string): Promise<Session | null> {
    if (text.length > MOST_CHARACTERS) return null;
    try {
      const { payload } = await jwtDecrypt(text, this.#key, {
        keyManagementAlgorithms: [ALGORITHM.alg],
        contentEncryptionAlgorithms: [ALGORITHM.enc],
        currentDate: new Date(this.#now()),
      });
      const { sub, csrf, exp } = claims.parse(payload);
      return { proof: sub, csrf, expiresAt: exp };
    } catch (error) {
      if (error instanceof errors.JOSEError) return null;
      throw error;
    }
  }
}
