import { setTimeout as sleep } from 'node:timers/promises';
import { lastAuditSequence, type Principal, StorageError } from '@polylora/adapters-store';
import type { Access } from '../access/access.ts';
import type { Logger } from '../logging.ts';
import type { SteadyClock } from '../steady-clock.ts';
import { isKeyText } from './key-hash.ts';
import { readKey, readTenant } from './rows.ts';
import type { TenantDatabase } from './tables.ts';
import type { ApiKey, Tenant } from './tenant.ts';

/** How often other gateways' changes are looked for. */
const FOLLOW_MILLISECONDS = 250;
/** What was looked for longer ago is looked for again before anybody is let in: a change holds everywhere within a second. */
const FRESH_MILLISECONDS = 750;
/** How long keys that are known go on while the database is away. */
const AWAY_MILLISECONDS = 15 * 60_000;
/** A database that does not answer is asked again only then: those who wait are let in or refused meanwhile. */
const ANSWER_MILLISECONDS = 200;
/** Keys that are remembered; a kilobyte each. */
const MOST_KEYS = 20_000;
/** Hashes of what is no key: asked for once a while only. */
const MOST_UNKNOWN = 10_000;
const UNKNOWN_MILLISECONDS = 2_000;

interface Known {
  readonly access: Access;
  readonly tenant: Tenant;
  readonly key: ApiKey;
  /** The least of the key's and of its text's. */
  readonly expiresAt: number;
}

export interface RegistryOptions {
  readonly database: TenantDatabase;
  readonly clock: SteadyClock;
  readonly logger: Logger;
}

/**
 * Who has which key, remembered, so that a request needs no database. The audit log says what is changed, by this gateway or
 * another: it is followed, and what it names is forgotten and read anew.
 */
export class Registry {
  readonly #options: RegistryOptions;
  /** By the hash of the key's text. */
  readonly #known = new Map<string, Known>();
  /** Until when, on the steady clock. */
  readonly #unknown = new Map<string, number>();
  readonly #looking = new Map<string, Promise<Known | null>>();
  readonly #onForgotten: ((subject: string) => void)[] = [];
  #sequence: number;
  #freshAt: number;
  #following: Promise<void> | null = null;
  /** Until when a database that did not answer is not waited for. */
  #awayUntil = 0;
  readonly #stop = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  private constructor(options: RegistryOptions, sequence: number) {
    this.#options = options;
    this.#sequence = sequence;
    this.#freshAt = performance.now();
  }

  static async open(options: RegistryOptions): Promise<Registry> {
    const registry = new Registry(options, await lastAuditSequence(options.database));
    registry.#loop = registry.#follow();
    return registry;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    await this.#following?.catch(() => {});
  }

  /** Told of every tenant, key and price that is changed, as the audit log names it. */
  onForgotten(listener: (subject: string) => void): void {
    this.#onForgotten.push(listener);
  }

  /**
   * Who has this key; null for nobody who may come in: unknown, expired and blocked are not told apart.
   * @param text null where it is known to be a key's, or to have been one's
   * @param hash of the text
   * @returns at once where nothing need be read
   * @throws StorageError where the database is away and the key is not known
   */
  find(text: string | null, hash: string): Access | null | Promise<Access | null> {
    const isFresh = performance.now() - this.#freshAt < FRESH_MILLISECONDS;
    const known = isFresh ? this.#known.get(hash) : undefined;
    return known === undefined ? this.#findSlowly(hash, text) : this.#valid(known);
  }

  /** As `find`, for a key that somebody had: work that goes on without its request asks again. */
  async stillValid({ tenant, key }: Principal): Promise<Access | null> {
    if (key === null) return null;
    await this.#refresh();
    for (const known of this.#known.values()) {
      if (known.key.id === key && known.tenant.id === tenant) return this.#validKey(known);
    }
    const rows = await this.#read((query) => query.where('api_key.id', '=', key));
    const found = rows.find((known) => known.tenant.id === tenant);
    return found === undefined ? null : this.#validKey(found);
  }

  /** Has what was changed hold from now on. */
  async refresh(): Promise<void> {
    // What is under way may have read before the change.
    await this.#following?.catch(() => {});
    await this.#catchUp();
  }

  async #findSlowly(hash: string, text: string | null): Promise<Access | null> {
    await this.#refresh();
    const known = this.#known.get(hash);
    if (known !== undefined) return this.#valid(known);
    const isNone = text !== null && !isKeyText(text);
    if (isNone || (this.#unknown.get(hash) ?? 0) > performance.now()) return null;
    const looking = this.#looking.get(hash) ?? this.#look(hash);
    this.#looking.set(hash, looking);
    try {
      const found = await looking;
      return found === null ? null : this.#valid(found);
    } finally {
      this.#looking.delete(hash);
    }
  }

  async #look(hash: string): Promise<Known | null> {
    const sequence = this.#sequence;
    const [found] = await this.#read((query) => query.where('api_key_secret.hash', '=', hash));
    if (found === undefined) {
      this.#unknown.set(hash, performance.now() + UNKNOWN_MILLISECONDS);
      bound(this.#unknown, MOST_UNKNOWN);
      return null;
    }
    // What was changed while it was read may not be in it: it counts for this once.
    if (sequence === this.#sequence) {
      this.#known.set(hash, found);
      bound(this.#known, MOST_KEYS);
    }
    return found;
  }

  async #read(which: (query: ReturnType<typeof joined>) => ReturnType<typeof joined>): Promise<Known[]> {
    const { database } = this.#options;
    const rows = await which(joined(database)).execute();
    return Promise.all(
      rows.map(async ({ key_id, secret_expires_at }) => {
        const [key, secrets] = await Promise.all([
          database.selectFrom('api_key').selectAll().where('id', '=', key_id).executeTakeFirst(),
          database.selectFrom('api_key_secret').selectAll().where('key', '=', key_id).execute(),
        ]);
        const tenant =
          key &&
          (await database.selectFrom('tenant').selectAll().where('id', '=', key.tenant).executeTakeFirst());
        if (key === undefined || tenant === undefined) return null;
        return knownOf(readTenant(tenant), readKey(key, secrets), secret_expires_at);
      }),
    ).then((all) => all.filter((each) => each !== null));
  }

  #valid(known: Known): Access | null {
    return this.#options.clock.now() < known.expiresAt ? this.#validKey(known) : null;
  }

  #validKey({ access, key, tenant }: Known): Access | null {
    if (key.blocked || tenant.blocked) return null;
    return key.expiresAt === null || this.#options.clock.now() < key.expiresAt ? access : null;
  }

  /** Makes sure that what is known is so now; while the database is away, that it was so not long ago. */
  async #refresh(): Promise<void> {
    const now = performance.now();
    if (now - this.#freshAt < FRESH_MILLISECONDS) return;
    if (now >= this.#awayUntil) {
      const asked = this.#catchUp();
      const late = sleep(ANSWER_MILLISECONDS, 'late' as const, { ref: false });
      const answer = await Promise.race([asked.then(() => 'fresh' as const), late]).catch(
        () => 'away' as const,
      );
      if (answer === 'fresh') return;
      asked.catch(() => {});
      this.#awayUntil = performance.now() + FOLLOW_MILLISECONDS;
    }
    if (performance.now() - this.#freshAt > AWAY_MILLISECONDS) {
      throw new StorageError('storage_unavailable', 'keys cannot be checked: their database does not answer');
    }
  }

  /** Reads what was changed since the last time, once however many ask. */
  #catchUp(): Promise<void> {
    this.#following ??= this.#readChanges().finally(() => {
      this.#following = null;
    });
    return this.#following;
  }

  async #readChanges(): Promise<void> {
    const begun = performance.now();
    const rows = await this.#options.database
      .selectFrom('audit')
      .select(['sequence', 'subject'])
      .where('sequence', '>', this.#sequence)
      .orderBy('sequence')
      .execute();
    for (const { sequence, subject } of rows) {
      this.#forget(subject);
      this.#sequence = sequence;
    }
    if (rows.length > 0) this.#unknown.clear();
    this.#freshAt = begun;
  }

  #forget(subject: string): void {
    const [kind, id] = partsOf(subject);
    if (kind === 'key' || kind === 'tenant') {
      for (const [hash, { key, tenant }] of this.#known) {
        if ((kind === 'key' ? key : tenant).id === id) this.#known.delete(hash);
      }
    }
    for (const listener of this.#onForgotten) listener(subject);
  }

  async #follow(): Promise<void> {
    let isAway = false;
    while (!this.#stop.signal.aborted) {
      try {
        await this.#catchUp();
        if (isAway) this.#options.logger.info("the keys' database answers again");
        isAway = false;
      } catch (error) {
        if (!isAway) this.#options.logger.error({ err: error }, "the keys' database does not answer");
        isAway = true;
      }
      await sleep(FOLLOW_MILLISECONDS, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {});
    }
  }
}

/** A key as requests need it, made once. */
function knownOf(tenant: Tenant, key: ApiKey, secretExpiresAt: number | null): Known {
  const isOperator = key.role === 'operator';
  const principal = {
    tenant: tenant.id,
    key: key.id,
    actor: isOperator ? `operator/${key.id}` : `${tenant.id}/${key.id}`,
    // Both lists let it be used, or it is not.
    models: [tenant.models, key.models],
  };
  const expiresAt = Math.min(
    secretExpiresAt ?? Number.POSITIVE_INFINITY,
    key.expiresAt ?? Number.POSITIVE_INFINITY,
  );
  return { access: { principal, role: key.role, tenant, key }, tenant, key, expiresAt };
}

function joined(database: TenantDatabase) {
  return database
    .selectFrom('api_key_secret')
    .innerJoin('api_key', 'api_key.id', 'api_key_secret.key')
    .select(['api_key.id as key_id', 'api_key_secret.expires_at as secret_expires_at']);
}

function partsOf(subject: string): [kind: string, id: string] {
  const colon = subject.indexOf(':');
  return [subject.slice(0, colon), subject.slice(colon + 1)];
}

/** Forgets what has been there the longest. */
function bound(map: Map<string, unknown>, most: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= most) return;
    map.delete(oldest);
  }
}
