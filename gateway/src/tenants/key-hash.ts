import { createHmac, createSecretKey, hash, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';

/** What our keys begin with, so that scanners of leaked secrets know them. */
const KEY_START = 'plk_';
const KEY_BYTES = 32;
/** As long as 32 bytes are in base64url. */
const KEY = /^plk_[A-Za-z0-9_-]{43}$/;
/** Six characters tell keys apart, and leave 220 bits to guess. */
const SHOWN_CHARACTERS = KEY_START.length + 6;
/** Keys of which the hash is remembered: those that ask most. */
const MOST_REMEMBERED = 10_000;
/** Longer than any key: what comes is not hashed without end. */
const LONGEST = 512;

export function newKeyText(): string {
  return KEY_START + randomBytes(KEY_BYTES).toString('base64url');
}

/** Whether it could be one of ours: what could not is not looked for. */
export function isKeyText(text: string): boolean {
  return KEY.test(text);
}

/** How a key begins, to be shown and logged. */
export function keyPrefix(text: string): string {
  return text.slice(0, SHOWN_CHARACTERS);
}

/** Hashes keys with a secret of the server's: whoever reads the database can neither use nor check a key. */
export class KeyHasher {
  readonly #pepper: KeyObject;
  /** By a plain digest, which takes a tenth of the time and, unlike the key itself, may lie about in memory. */
  readonly #remembered = new LRUCache<string, string>({ max: MOST_REMEMBERED });

  /** @param secret 32 bytes that are the same for all gateways of a database */
  constructor(secret: Buffer) {
    // A key of its own for each purpose: what encrypts tokens never hashes what clients send.
    const derived = hkdfSync('sha256', secret, new Uint8Array(), 'polylora api keys v1', KEY_BYTES);
    this.#pepper = createSecretKey(Buffer.from(derived));
  }

  /**
   * How long it takes to find or not to find the result tells nothing of a key: without the secret nobody knows which
   * hash comes of which guess.
   */
  hash(key: string): string {
    const text = key.slice(0, LONGEST);
    const digest = hash('sha256', text, 'base64url');
    const known = this.#remembered.get(digest);
    if (known !== undefined) return known;
    const made = createHmac('sha256', this.#pepper).update(text).digest('base64url');
    this.#remembered.set(digest, made);
    return made;
  }
}
