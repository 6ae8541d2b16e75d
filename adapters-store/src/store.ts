import { randomUUID } from 'node:crypto';
import { chmod, copyFile, mkdir, realpath, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExpressionBuilder, Transaction } from 'kysely';
import { type BlobStore, blobId, StorageError, storageError } from './blobs/blob-store.ts';
import { AdapterError } from './errors.ts';
import { removeLeftovers } from './leftovers.ts';
import { audit } from './metadata/audit-log.ts';
import { checkedBefore, rememberChecked } from './metadata/checked-folders.ts';
import { type Database, inTurn } from './metadata/database.ts';
import type { Tables } from './metadata/tables.ts';
import {
  type AdapterReference,
  isAdapterName,
  isTag,
  LATEST,
  NAME_RULE,
  parseReference,
  TAG_RULE,
} from './name.ts';
import { CONFIG_FILE, readAdapterInside, readCheckedAdapter, WEIGHTS_FILE } from './peft/adapter.ts';
import type { CheckedFolder } from './peft/directory.ts';
import { resolveInside } from './peft/files.ts';
import { StoreError } from './store-error.ts';
import type { Adapter, BaseModelShape } from './types.ts';
import { largestRanks, readVersion, VERSION_COLUMNS, type Version, type VersionSource } from './version.ts';

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

export interface AdaptersStoreOptions {
  readonly database: Database;
  readonly blobs: BlobStore;
  /** A directory for what is being checked; on the disk of the blobs, so that it is moved and not copied. */
  readonly staging: string;
  readonly model: BaseModelShape & { readonly digest: string };
  /** Seconds that a version stays after the last tag has left it: somebody may still be using it. */
  readonly graceSeconds: number;
  /** Names that stand for something else, which would hide an adapter of that name. */
  readonly isReserved?: (name: string) => boolean;
  /** Milliseconds since 1970. */
  readonly clock?: () => number;
}

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

/** A version as the files that it was pushed as. */
export interface AdapterFiles {
  readonly release: Release;
  /** The text of adapter_config.json. */
  readonly config: string;
  /** A local safetensors file that nobody writes to. */
  readonly file: string;
}

/** A version under a name. */
export interface Release {
  readonly name: string;
  /** `name@v<number>` */
  readonly number: number;
  readonly version: Version;
}

/** A name and what it stands for. */
export interface AdapterEntry {
  readonly name: string;
  readonly owner: string;
  /** What `latest` stands for. */
  readonly digest: string;
  readonly createdAt: number;
  readonly movedAt: number;
}

export interface AdapterDetails {
  readonly name: string;
  readonly owner: string;
  readonly tags: Readonly<Record<string, string>>;
  /** The newest first. */
  readonly releases: readonly Release[];
  readonly grants: readonly Grantee[];
}

interface RemovedVersion {
  readonly digest: string;
  readonly blob: string;
}

/** Files without a version stay at least so long, whatever the grace time: a push that is about to name them may be slow. */
const LONGEST_PUSH_MILLISECONDS = 60 * 60 * 1000;
const LONGEST_NOTE = 4096;
const LONGEST_GRANTEE = 256;
/** In one transaction. */
const MOST_COLLECTED = 500;
const DIGEST = /^[0-9a-f]{64}$/;

/**
 * Tenants' adapters: contents by digest, names that point at them, and who may use which. What is acknowledged is
 * durable; what is not is not there.
 */
export class AdaptersStore {
  readonly #options: AdaptersStoreOptions;
  readonly #clock: () => number;
  readonly #onRemoved = new Set<(digest: string) => void>();

  constructor(options: AdaptersStoreOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  /** Is told each digest whose file is gone: whoever holds its weights lets go of them. */
  onRemoved(listener: (digest: string) => void): void {
    this.#onRemoved.add(listener);
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
      await this.#stage(push, staged);
      const adapter = await readStaged(staged, name, this.#options.model);
      const ranks = largestRanks(adapter);
      if (limits !== undefined) assertWithin(limits, adapter.fileSize, Math.max(...Object.values(ranks)));
      const blob = blobId(adapter.digest);
      // Before it has a name: a name never stands for what is not there. Without one it is collected some day.
      await this.#options.blobs.put(blob, adapter.file);
      const { release, keepsNew, isMended } = await this.#transaction(async (transaction) => {
        const at = this.#clock();
        await this.#own(transaction, name, actor, at);
        const row = {
          digest: adapter.digest,
          base_digest: this.#options.model.digest,
          blob,
          bytes: adapter.fileSize,
          config: adapter.config,
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
          await this.#moveTag(transaction, name, tag, adapter.digest, at);
        await this.#audit(
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
        const keepsNew = version.blob === blob || (await this.#isMissing(version.blob));
        const isMended = keepsNew && version.blob !== blob;
        if (isMended) {
          const { bytes, config, ranks } = row;
          await transaction
            .updateTable('version')
            .set({ blob, bytes, config, ranks })
            .where('digest', '=', adapter.digest)
            .execute();
        }
        return { release: { name, number, version: readVersion(version) }, keepsNew, isMended };
      }).catch(async (error: unknown) => {
        // Surely not made: what failed without such an answer may have been, and waits to be collected.
        const isRefused = error instanceof StoreError;
        if (isRefused || (error instanceof StorageError && error.code === 'storage_full'))
          await this.#options.blobs.delete(blob).catch(() => {});
        throw error;
      });
      // The content was here before. Where this fails, the file is collected some day; the push was made.
      if (!keepsNew) await this.#options.blobs.delete(blob).catch(() => {});
      // Whoever holds the file that is gone asks for the new one.
      if (isMended) for (const listener of this.#onRemoved) listener(adapter.digest);
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
    await this.#assertMayPush(name, actor);
  }

  /**
   * What a client's `model` stands for now, or null where it stands for nothing that it may use: the two are not told
   * apart. Checked against the metadata each time, so that what is revoked is so at once.
   */
  async resolve(text: string, principal: Principal): Promise<Version | null> {
    const reference = parseReference(text);
    if (reference === null) return null;
    return this.#find(this.#options.database, reference, principal);
  }

  async #find(
    database: Database | Transaction<Tables>,
    reference: AdapterReference,
    principal: Principal,
  ): Promise<Version | null> {
    const versions = database
      .selectFrom('adapter')
      .where('adapter.name', '=', reference.name)
      .where((where) => mayUse(where, principal));
    const row =
      reference.kind === 'tag'
        ? await versions
            .innerJoin('tag', 'tag.name', 'adapter.name')
            .innerJoin('version', 'version.digest', 'tag.digest')
            .where('tag.tag', '=', reference.tag)
            .select(VERSION_COLUMNS)
            .executeTakeFirst()
        : await versions
            .innerJoin('release', 'release.name', 'adapter.name')
            .innerJoin('version', 'version.digest', 'release.digest')
            .where((where) =>
              reference.kind === 'release'
                ? where('release.number', '=', reference.number)
                : where('release.digest', '=', reference.digest),
            )
            .select(VERSION_COLUMNS)
            .limit(1)
            .executeTakeFirst();
    // One for another base model cannot be served here.
    return row === undefined || row.base_digest !== this.#options.model.digest ? null : readVersion(row);
  }

  /**
   * A version's weights: their file, and where in it each tensor is.
   * @throws StorageError, or AdapterError where the file is not what was stored
   */
  async weights(digest: string): Promise<Adapter> {
    const { database, blobs, model } = this.#options;
    const row = await database
      .selectFrom('version')
      .select(['config', 'blob'])
      .where('digest', '=', digest)
      .executeTakeFirst();
    if (row === undefined) throw notFound(`there is no version ${digest}`);
    const file = await blobs.locate(row.blob);
    return readCheckedAdapter({ name: digest, config: row.config, file, digest }, model);
  }

  /**
   * The files of one of a name's versions.
   * @param which a reference's part behind the `@`, such as `v3`
   * @throws StoreError `adapter_not_found`, StorageError
   */
  async files(name: string, which: string, principal: Principal): Promise<AdapterFiles> {
    const { database, blobs } = this.#options;
    const reference = parseReference(`${name}@${which}`);
    const version = reference === null ? null : await this.#find(database, reference, principal);
    if (reference === null || version === null)
      throw notFound(`'${name}' has no version '${which}' that this model can serve`);
    const row = await database
      .selectFrom('version')
      .innerJoin('release', 'release.digest', 'version.digest')
      .where('version.digest', '=', version.digest)
      .where('release.name', '=', name)
      .select(['version.config', 'version.blob', 'release.number'])
      .orderBy('release.number', 'desc')
      .limit(1)
      .executeTakeFirst();
    // Removed in between.
    if (row === undefined) throw notFound(`'${name}' has no version '${which}' any more`);
    const number = reference.kind === 'release' ? reference.number : row.number;
    const release = { name, number, version };
    return { release, config: row.config, file: await blobs.locate(row.blob) };
  }

  /**
   * The adapters that somebody may use, by name, after the name given.
   * @param options.servable only those whose `latest` is for this base model
   */
  async list(
    principal: Principal,
    { limit, after, servable = false }: { limit: number; after?: string; servable?: boolean },
  ): Promise<AdapterEntry[]> {
    let query = this.#options.database
      .selectFrom('adapter')
      .innerJoin('tag', 'tag.name', 'adapter.name')
      .where('tag.tag', '=', LATEST)
      .where((where) => mayUse(where, principal))
      .select(['adapter.name', 'adapter.owner', 'adapter.created_at', 'tag.digest', 'tag.moved_at'])
      .orderBy('adapter.name')
      .limit(limit);
    if (servable) {
      query = query
        .innerJoin('version', 'version.digest', 'tag.digest')
        .where('version.base_digest', '=', this.#options.model.digest);
    }
    if (after !== undefined) query = query.where('adapter.name', '>', after);
    const rows = await query.execute();
    return rows.map(({ name, owner, created_at, digest, moved_at }) => ({
      name,
      owner,
      digest,
      createdAt: created_at,
      movedAt: moved_at,
    }));
  }

  /** @throws StoreError `adapter_not_found` */
  async inspect(name: string, principal: Principal): Promise<AdapterDetails> {
    const { database } = this.#options;
    const adapter = await database
      .selectFrom('adapter')
      .selectAll()
      .where('name', '=', name)
      .where((where) => mayUse(where, principal))
      .executeTakeFirst();
    if (adapter === undefined) throw notFound(`there is no adapter '${name}'`);
    const [tags, releases, grants] = await Promise.all([
      database.selectFrom('tag').select(['tag', 'digest']).where('name', '=', name).orderBy('tag').execute(),
      database
        .selectFrom('release')
        .innerJoin('version', 'version.digest', 'release.digest')
        .where('release.name', '=', name)
        .select(['release.number', ...VERSION_COLUMNS])
        .orderBy('release.number', 'desc')
        .execute(),
      database.selectFrom('adapter_grant').select(['kind', 'grantee']).where('name', '=', name).execute(),
    ]);
    return {
      name,
      owner: adapter.owner,
      tags: Object.fromEntries(tags.map(({ tag, digest }) => [tag, digest])),
      releases: releases.map((row) => ({ name, number: row.number, version: readVersion(row) })),
      // Whom else it was given to is the owner's affair.
      grants: adapter.owner === principal.tenant ? grants : [],
    };
  }

  /**
   * Moves a tag to another of the name's releases, at once: a request sees the old or the new.
   * @param to a reference's part behind the `@`, such as `v3`
   */
  async tag(name: string, tag: string, to: string, actor: Principal): Promise<void> {
    assertTag(tag);
    await this.#change(name, actor, async (transaction, at) => {
      const reference = parseReference(`${name}@${to}`);
      const version = reference === null ? null : await this.#find(transaction, reference, actor);
      if (version === null) throw notFound(`'${name}' has no version '${to}'`);
      await this.#moveTag(transaction, name, tag, version.digest, at);
      return { action: 'adapter.tag', details: { tag, digest: version.digest } };
    });
  }

  /** Takes a tag away. `latest` stays: a name without it would stand for nothing. */
  async untag(name: string, tag: string, actor: Principal): Promise<void> {
    if (tag === LATEST) {
      throw new StoreError(
        'adapter_tag_invalid',
        `'${LATEST}' cannot be taken away; delete the adapter`,
        'tag',
      );
    }
    await this.#change(name, actor, async (transaction, at) => {
      const row = await transaction
        .deleteFrom('tag')
        .where('name', '=', name)
        .where('tag', '=', tag)
        .returning('digest')
        .executeTakeFirst();
      if (row === undefined) throw notFound(`'${name}' has no tag '${tag}'`);
      await this.#markUnreferenced(transaction, row.digest, at);
      return { action: 'adapter.untag', details: { tag } };
    });
  }

  async grant(name: string, { kind, grantee }: Grantee, actor: Principal): Promise<void> {
    assertText(grantee, 'grantee', 1, LONGEST_GRANTEE);
    await this.#change(name, actor, async (transaction, at) => {
      await transaction
        .insertInto('adapter_grant')
        .values({ name, kind, grantee, granted_at: at })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      return { action: 'adapter.grant', details: { kind, grantee } };
    });
  }

  async revoke(name: string, { kind, grantee }: Grantee, actor: Principal): Promise<void> {
    await this.#change(name, actor, async (transaction) => {
      await transaction
        .deleteFrom('adapter_grant')
        .where('name', '=', name)
        .where('kind', '=', kind)
        .where('grantee', '=', grantee)
        .execute();
      return { action: 'adapter.revoke', details: { kind, grantee } };
    });
  }

  /** Keeps a version whatever refers to it, or lets it be collected again. */
  async pin(name: string, digest: string, pinned: boolean, actor: Principal): Promise<void> {
    await this.#change(name, actor, async (transaction) => {
      const released = await transaction
        .selectFrom('release')
        .select('digest')
        .where('name', '=', name)
        .where('digest', '=', digest)
        .executeTakeFirst();
      if (released === undefined) throw notFound(`'${name}' has no version ${digest}`);
      await transaction
        .updateTable('version')
        .set({ pinned: pinned ? 1 : 0 })
        .where('digest', '=', digest)
        .execute();
      return { action: pinned ? 'adapter.pin' : 'adapter.unpin', details: { digest } };
    });
  }

  /**
   * Removes a name with its tags, releases and grants, and the bytes of every version that no other name has, at once.
   * @returns the digests whose bytes are gone
   */
  async remove(name: string, actor: Principal): Promise<readonly string[]> {
    const removed: RemovedVersion[] = [];
    await this.#change(name, actor, async (transaction, at) => {
      const released = await transaction
        .selectFrom('release')
        .select('digest')
        .distinct()
        .where('name', '=', name)
        .execute();
      for (const table of ['tag', 'release', 'adapter_grant', 'adapter'] as const) {
        await transaction.deleteFrom(table).where('name', '=', name).execute();
      }
      for (const { digest } of released) {
        const other = await transaction
          .selectFrom('release')
          .select('name')
          .where('digest', '=', digest)
          .executeTakeFirst();
        if (other !== undefined) {
          // Its last tag may have been one of these.
          await this.#markUnreferenced(transaction, digest, at);
          continue;
        }
        const { blob } = await transaction
          .deleteFrom('version')
          .where('digest', '=', digest)
          .returning('blob')
          .executeTakeFirstOrThrow();
        removed.push({ digest, blob });
      }
      return { action: 'adapter.delete', details: { removed: removed.map(({ digest }) => digest) } };
    });
    await this.#forget(removed);
    return removed.map(({ digest }) => digest);
  }

  /**
   * Removes versions that no tag has referred to for the grace time, and what pushes that broke off have left.
   * @returns their digests
   */
  async collect(): Promise<readonly string[]> {
    const { graceSeconds, blobs, database, staging } = this.#options;
    const before = this.#clock() - graceSeconds * 1000;
    const removed = await this.#transaction(async (transaction) => {
      const old = await transaction
        .selectFrom('version')
        .select(['digest', 'blob'])
        .where('unreferenced_since', '<', before)
        .where('pinned', '=', 0)
        .limit(MOST_COLLECTED)
        .execute();
      const digests = old.map(({ digest }) => digest);
      if (digests.length === 0) return [];
      await transaction.deleteFrom('release').where('digest', 'in', digests).execute();
      await transaction.deleteFrom('version').where('digest', 'in', digests).execute();
      const actor = { tenant: 'polylora', key: null };
      await this.#audit(transaction, actor, 'adapter.collect', '', { removed: digests }, this.#clock());
      return old;
    });
    await this.#forget(removed);
    const abandoned = Math.min(before, this.#clock() - LONGEST_PUSH_MILLISECONDS);
    await removeLeftovers(staging, abandoned);
    for await (const { id, storedAt } of blobs.list()) {
      // One that was just put is about to have its version.
      if (storedAt >= abandoned) continue;
      const version = await database
        .selectFrom('version')
        .select('digest')
        .where('blob', '=', id)
        .executeTakeFirst();
      if (version === undefined) await blobs.delete(id);
    }
    return removed.map(({ digest }) => digest);
  }

  /** What is remembered of a directory's folders that were checked for this base model, by name. */
  checkedFolders(directory: string): Promise<Map<string, CheckedFolder>> {
    return checkedBefore(this.#options.database, this.#keyOf(directory));
  }

  /** Remembers a directory's folders that were checked, and no others of it. */
  rememberFolders(directory: string, folders: readonly CheckedFolder[]): Promise<void> {
    return rememberChecked(this.#options.database, this.#keyOf(directory), folders);
  }

  /** Against another base model, files have to be checked anew. */
  #keyOf(directory: string): string {
    return `${this.#options.model.digest} ${directory}`;
  }

  async #forget(versions: readonly RemovedVersion[]): Promise<void> {
    for (const { digest, blob } of versions) {
      for (const listener of this.#onRemoved) listener(digest);
      // The version is gone, and its file goes when it can: at the latest with what is collected.
      await this.#options.blobs.delete(blob).catch(() => {});
    }
  }

  /** A change of one of the actor's own adapters, with its entry in the audit log. */
  async #change(
    name: string,
    actor: Principal,
    change: (
      transaction: Transaction<Tables>,
      at: number,
    ) => Promise<{ action: string; details: Readonly<Record<string, unknown>> }>,
  ): Promise<void> {
    await this.#transaction(async (transaction) => {
      const adapter = await transaction
        .selectFrom('adapter')
        .select('owner')
        .where('name', '=', name)
        .executeTakeFirst();
      // Who may only use it is told the same as who may not even know of it.
      if (adapter === undefined || adapter.owner !== actor.tenant)
        throw notFound(`there is no adapter '${name}'`);
      const at = this.#clock();
      const { action, details } = await change(transaction, at);
      await this.#audit(transaction, actor, action, name, details, at);
    });
  }

  #transaction<Result>(work: (transaction: Transaction<Tables>) => Promise<Result>): Promise<Result> {
    return inTurn(this.#options.database, work);
  }

  #audit(
    transaction: Transaction<Tables>,
    actor: Principal,
    action: string,
    subject: string,
    details: Readonly<Record<string, unknown>>,
    at: number,
  ): Promise<void> {
    return audit(transaction, { at, actor: actor.tenant, action, subject, details });
  }

  async #stage({ name, directory, root = directory }: Push, staged: string): Promise<void> {
    try {
      await mkdir(staged, { recursive: true });
      const realRoot = await realpath(root);
      for (const file of [CONFIG_FILE, WEIGHTS_FILE]) {
        const source = await resolveInside(realRoot, join(directory, file));
        if (source === null) {
          // Says what is missing, and names a pickle that is there instead.
          await readAdapterInside(realRoot, name, directory, this.#options.model);
          continue;
        }
        await assertRegular(source);
        await copyFile(source, join(staged, file));
        // Ours, however it was protected where it came from.
        await chmod(join(staged, file), 0o600);
      }
    } catch (error) {
      throw storageError(error, 'copying an adapter');
    }
  }

  async #isMissing(blob: string): Promise<boolean> {
    try {
      await this.#options.blobs.locate(blob);
      return false;
    } catch (error) {
      if (error instanceof StorageError && error.code === 'blob_missing') return true;
      throw error;
    }
  }

  async #assertMayPush(name: string, actor: Principal): Promise<void> {
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

  async #moveTag(
    transaction: Transaction<Tables>,
    name: string,
    tag: string,
    digest: string,
    at: number,
  ): Promise<void> {
    const before = await transaction
      .selectFrom('tag')
      .select('digest')
      .where('name', '=', name)
      .where('tag', '=', tag)
      .executeTakeFirst();
    if (before?.digest === digest) return;
    await transaction
      .insertInto('tag')
      .values({ name, tag, digest, moved_at: at })
      .onConflict((conflict) => conflict.columns(['name', 'tag']).doUpdateSet({ digest, moved_at: at }))
      .execute();
    await transaction
      .updateTable('version')
      .set({ unreferenced_since: null })
      .where('digest', '=', digest)
      .execute();
    if (before !== undefined) await this.#markUnreferenced(transaction, before.digest, at);
  }

  /** Notes since when no tag refers to a version, where none does. */
  async #markUnreferenced(transaction: Transaction<Tables>, digest: string, at: number): Promise<void> {
    const tag = await transaction
      .selectFrom('tag')
      .select('name')
      .where('digest', '=', digest)
      .limit(1)
      .executeTakeFirst();
    if (tag !== undefined) return;
    await transaction
      .updateTable('version')
      .set({ unreferenced_since: at })
      .where('digest', '=', digest)
      .execute();
  }
}

/** The owner may use an adapter, and whoever it was granted to. */
function mayUse(where: ExpressionBuilder<Tables, 'adapter'>, { tenant, key }: Principal) {
  const granted = where
    .selectFrom('adapter_grant')
    .select('adapter_grant.grantee')
    .whereRef('adapter_grant.name', '=', 'adapter.name')
    .where((grant) =>
      grant.or([
        grant.and([
          grant('adapter_grant.kind', '=', 'tenant'),
          grant('adapter_grant.grantee', 'in', [tenant, EVERYONE]),
        ]),
        ...(key === null
          ? []
          : [grant.and([grant('adapter_grant.kind', '=', 'key'), grant('adapter_grant.grantee', '=', key)])]),
      ]),
    );
  return where.or([where('adapter.owner', '=', tenant), where.exists(granted)]);
}

/** A named pipe would never end, and neither would some devices. */
async function assertRegular(file: string): Promise<void> {
  if ((await stat(file)).isFile()) return;
  throw new AdapterError('adapter_unreadable', 'adapters', [
    { where: file, message: 'is not a regular file' },
  ]);
}

/** @throws AdapterError for what is wrong with the adapter, StorageError where our own copy cannot be read */
async function readStaged(staged: string, name: string, model: BaseModelShape): Promise<Adapter> {
  try {
    const root = await realpath(staged);
    return await readAdapterInside(root, name, root, model);
  } catch (error) {
    if (!(error instanceof AdapterError) || error.code !== 'adapter_unreadable') throw error;
    const failure = storageError(error.cause, 'checking an adapter');
    throw failure instanceof StorageError ? failure : error;
  }
}

export function assertWithin({ maxBytes, maxRank }: PushLimits, bytes: number, rank: number): void {
  if (bytes > maxBytes) {
    const message = `the weights have ${bytes} bytes, at most ${maxBytes} are allowed`;
    throw new StoreError('adapter_too_large', message);
  }
  if (rank > maxRank) {
    throw new StoreError('adapter_too_large', `the rank is ${rank}, at most ${maxRank} is allowed`, 'r');
  }
}

function assertName(name: string): void {
  if (!isAdapterName(name)) {
    throw new StoreError('adapter_field_invalid', `'name' must be made of ${NAME_RULE}`, 'name');
  }
}

function assertText(text: string, field: string, least: number, most: number): void {
  // PostgreSQL keeps no NUL.
  if (text.length >= least && text.length <= most && !text.includes('\0')) return;
  const message = `'${field}' must have ${least} to ${most} characters, and no NUL`;
  throw new StoreError('adapter_field_invalid', message, field);
}

function assertTag(tag: string): void {
  if (!isTag(tag)) throw new StoreError('adapter_tag_invalid', `a tag is made of ${TAG_RULE}`, 'tag');
}

function nameTaken(name: string): StoreError {
  return new StoreError(
    'adapter_name_taken',
    `'${name}' belongs to another tenant; choose another name`,
    'name',
  );
}

function notFound(message: string): StoreError {
  return new StoreError('adapter_not_found', message);
}
