import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Database } from '../metadata/database.ts';
import { Changes } from '../store/changes.ts';
import type { Principal } from '../store/principal.ts';
import { StoreError } from '../store-error.ts';

const CIPHER = 'aes-256-gcm';
const FORMAT = 'v1';
/** What NIST asks of GCM. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What the store knows of a secret without reading it. */
export interface SecretState {
  /** Milliseconds since 1970. */
  readonly updatedAt: number;
}

/** Secrets that the server needs itself, such as tokens: in the metadata encrypted, by a key that is elsewhere. */
export class Secrets {
  readonly #database: Database;
  readonly #changes: Changes;
  readonly #key: () => Promise<Buffer>;

  /** @param key of 32 bytes, asked for when it is first needed */
  constructor(database: Database, key: () => Promise<Buffer>, clock: () => number = Date.now) {
    this.#database = database;
    this.#changes = new Changes(database, clock);
    this.#key = key;
  }

  async set(name: string, value: string, actor: Principal): Promise<void> {
    const sealed = seal(await this.#key(), name, value);
    await this.#changes.inTurn(async (transaction) => {
      const updated_at = this.#changes.now();
      await transaction
        .insertInto('secret')
        .values({ name, sealed, updated_at })
        .onConflict((conflict) => conflict.column('name').doUpdateSet({ sealed, updated_at }))
        .execute();
      await this.#changes.audit(transaction, actor, 'secret.set', name, {}, updated_at);
    });
  }

  async remove(name: string, actor: Principal): Promise<void> {
    await this.#changes.inTurn(async (transaction) => {
      await transaction.deleteFrom('secret').where('name', '=', name).execute();
      await this.#changes.audit(transaction, actor, 'secret.remove', name, {}, this.#changes.now());
    });
  }

  async state(name: string): Promise<SecretState | null> {
    const row = await this.#database
      .selectFrom('secret')
      .select('updated_at')
      .where('name', '=', name)
      .executeTakeFirst();
    return row === undefined ? null : { updatedAt: row.updated_at };
  }

  /** @throws StoreError `secret_unreadable` where it was encrypted with another key */
  async get(name: string): Promise<string | null> {
    const row = await this.#database
      .selectFrom('secret')
      .select('sealed')
      .where('name', '=', name)
      .executeTakeFirst();
    return row === undefined ? null : unseal(await this.#key(), name, row.sealed);
  }
}

/** The name is authenticated as well: what is kept under one cannot be put under another. */
function seal(key: Buffer, name: string, value: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(`${FORMAT}:${name}`));
  const text = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()]);
  return [FORMAT, ...[nonce, cipher.getAuthTag(), text].map((part) => part.toString('base64'))].join('.');
}

function unseal(key: Buffer, name: string, sealed: string): string {
  const [format, ...parts] = sealed.split('.');
  const [nonce, tag, text] = parts.map((part) => Buffer.from(part, 'base64'));
  try {
    if (format !== FORMAT || nonce === undefined || tag === undefined || text === undefined)
      throw new RangeError();
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(`${FORMAT}:${name}`));
    decipher.setAuthTag(tag);
    return Buffer.concat([decipher.update(text), decipher.final()]).toString('utf8');
  } catch {
    // What went wrong within would only say that it is not what was written.
    throw new StoreError(
      'secret_unreadable',
      `the secret '${name}' cannot be decrypted with this server's key; set it anew`,
    );
  }
}
