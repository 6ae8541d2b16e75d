import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Transaction } from 'kysely';
import { blobId, StorageError } from '../blobs/blob-store.ts';
import type { Tables } from '../metadata/tables.ts';
import { LATEST } from '../name.ts';
import { StoreError } from '../store-error.ts';
import { largestRanks, type Release, readVersion, VERSION_COLUMNS, type VersionSource } from '../version.ts';
import type { Changes } from './changes.ts';
import type { AdaptersStoreOptions } from './options.ts';
import type { Principal } from './principal.ts';
import { assertName, assertTag, assertText, nameTaken } from './rules.ts';
import { readStaged, stage } from './staging.ts';
import { moveTag } from './tags.ts';

export interface Push {
  readonly name: string;
  /** A folder with adapter_config.json and adapter_model.safetensors; it is copied. */
  readonly directory: string;
  /** No link in the folder may lead out of this one: the folder itself, where it is not given. */
  readonly root?: string;
  /** To be moved to this version, beside `latest`. */
  readonly tags?: readonly string[];
  readonly source: VersionSource;
  readonly parent?: string | null;
  readonly note?: string | null;
  readonly limits?: PushLimits;
}

/** The most bytes of the weights, and the largest rank, that an owner may push. */
export interface PushLimits {
  readonly maxBytes: number;
  readonly maxRank: number;
}

/** What of a push is known before its files are. */
export type PushIntent = Pick<Push, 'name' | 'tags' | 'parent' | 'note'>;

const LONGEST_NOTE = 4096;
const DIGEST = /^[0-9a-f]{64}$/;

/** How an adapter comes in: checked, kept, and named. */
export class Pushing {
  readonly #options: AdaptersStoreOptions;
  readonly #changes: Changes;
  readonly #tellRemoved: (digest: string) => void;

  constructor(options: AdaptersStoreOptions, changes: Changes, tellRemoved: (digest: string) => void) {
    this.#options = options;
    this.#changes = changes;
    this.#tellRemoved = tellRemoved;
  }

  /**
   * Checks an adapter and gives it its name's next release number and `latest`. The same content again, while it is
   * the latest, changes nothing but the tags asked for.
   *
   * @throws AdapterError for what is wrong with it, StoreError, StorageError
   */
  async push(push: Push, actor: Principal): Promise<Release> {
    const { name, tags = [], parent = null, note = null, limits } = push;
    await this.assertPushable(push, actor);
    const staged = join(this.#options.staging, randomUUID());
    try {
      // What is checked is our own copy, which nobody else writes to.
      await stage(push, staged, this.#options.model);
      const adapter = await readStaged(staged, name, this.#options.model);
      const ranks = largestRanks(adapter);
      if (limits !== undefined)
        assertWithin(limits, adapter.files[0].bytes, Math.max(...Object.values(ranks)));
      const blob = blobId(adapter.digest);
      // Before it has a name: a name never stands for what is not there. Without one it is collected some day.
      await this.#options.blobs.put(blob, adapter.files[0].path);
      const { release, keepsNew, isMended } = await this.#changes
        .inTurn(async (transaction) => {
          const at = this.#changes.now();
          await this.#own(transaction, name, actor, at);
          const row = {
            digest: adapter.digest,
            base_digest: this.#options.model.digest,
            blob,
            bytes: adapter.files[0].bytes,
            config: adapter.config,
            kind: adapter.kind,
            task: adapter.task,
            ranks: JSON.stringify(ranks),
            source: JSON.stringify(push.source),
            parent,
            note,
            created_at: at,
            pinned: 0,
            unreferenced_since: null,
          };
          await transaction
            .insertInto('version')
            .values(row)
            .onConflict((conflict) => conflict.column('digest').doUpdateSet({ unreferenced_since: null }))
            .execute();
          const number = await this.#release(transaction, name, adapter.digest, at);
          for (const tag of new Set([LATEST, ...tags]))
            await moveTag(transaction, name, tag, adapter.digest, at);
          await this.#changes.audit(
            transaction,
            actor,
            'adapter.push',
            name,
            { digest: adapter.digest, number, tags },
            at,
          );
          const version = await transaction
            .selectFrom('version')
            .select([...VERSION_COLUMNS, 'version.blob'])
            .where('digest', '=', adapter.digest)
            .executeTakeFirstOrThrow();
          if (version.base_digest !== this.#options.model.digest) {
            const message =
              'the store has this content for another base model; give each model a store of its own';
            throw new StoreError('adapter_of_other_model', message);
          }
          const keepsNew = version.blob === blob || !(await this.#options.blobs.has(version.blob));
          const isMended = keepsNew && version.blob !== blob;
          if (isMended) {
            const { bytes, config, kind, task, ranks } = row;
            await transaction
              .updateTable('version')
              .set({ blob, bytes, config, kind, task, ranks })
              .where('digest', '=', adapter.digest)
              .execute();
          }
          return { release: { name, number, version: readVersion(version) }, keepsNew, isMended };
        })
        .catch(async (error: unknown) => {
          // Surely not made: what failed without such an answer may have been, and waits to be collected.
          const isRefused = error instanceof StoreError;
          if (isRefused || (error instanceof StorageError && error.code === 'storage_full'))
            await this.#options.blobs.delete(blob).catch(() => {});
          throw error;
        });
      // The content was here before. Where this fails, the file is collected some day; the push was made.
      if (!keepsNew) await this.#options.blobs.delete(blob).catch(() => {});
      // Whoever holds the file that is gone asks for the new one.
      if (isMended) this.#tellRemoved(adapter.digest);
      return release;
    } finally {
      await rm(staged, { recursive: true, force: true }).catch(() => {});
    }
  }

  /**
   * Refuses what no files could make a push of.
   * @throws StoreError
   */
  async assertPushable(
    { name, tags = [], parent = null, note = null }: PushIntent,
    actor: Principal,
  ): Promise<void> {
    assertName(name);
    if (this.#options.isReserved?.(name)) {
      const message = `'${name}' stands for the base model, or for an adapter of the server's own directory`;
      throw new StoreError('adapter_name_taken', `${message}; choose another name`, 'name');
    }
    for (const tag of tags) assertTag(tag);
    if (parent !== null && !DIGEST.test(parent)) {
      throw new StoreError('adapter_field_invalid', "'parent' must be a version's digest", 'parent');
    }
    if (note !== null) assertText(note, 'note', 0, LONGEST_NOTE);
    const adapter = await this.#options.database
      .selectFrom('adapter')
      .select('owner')
      .where('name', '=', name)
      .executeTakeFirst();
    if (adapter !== undefined && adapter.owner !== actor.tenant) throw nameTaken(name);
  }

  async #own(transaction: Transaction<Tables>, name: string, actor: Principal, at: number): Promise<void> {
    await transaction
      .insertInto('adapter')
      .values({ name, owner: actor.tenant, created_at: at })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const { owner } = await transaction
      .selectFrom('adapter')
      .select('owner')
      .where('name', '=', name)
      .executeTakeFirstOrThrow();
    if (owner !== actor.tenant) throw nameTaken(name);
  }

  /** The number of the name's newest release where that has this content, or else of a new one. */
  async #release(
    transaction: Transaction<Tables>,
    name: string,
    digest: string,
    at: number,
  ): Promise<number> {
    const newest = await transaction
      .selectFrom('release')
      .select(['number', 'digest'])
      .where('name', '=', name)
      .orderBy('number', 'desc')
      .limit(1)
      .executeTakeFirst();
    if (newest?.digest === digest) return newest.number;
    const number = (newest?.number ?? 0) + 1;
    await transaction.insertInto('release').values({ name, number, digest, created_at: at }).execute();
    return number;
  }
}

/** @throws StoreError `adapter_too_large` */
export function assertWithin({ maxBytes, maxRank }: PushLimits, bytes: number, rank: number): void {
  if (bytes > maxBytes) {
    const message = `the weights have ${bytes} bytes, at most ${maxBytes} are allowed`;
    throw new StoreError('adapter_too_large', message);
  }
  if (rank > maxRank) {
    throw new StoreError('adapter_too_large', `the rank is ${rank}, at most ${maxRank} is allowed`, 'r');
  }
}
