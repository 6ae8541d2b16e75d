import { type FileHandle, open } from 'node:fs/promises';
import type { ExpressionBuilder, Transaction } from 'kysely';
import { storageError } from '../blobs/blob-store.ts';
import type { Database } from '../metadata/database.ts';
import type { Tables } from '../metadata/tables.ts';
import { type AdapterReference, LATEST, parseReference } from '../name.ts';
import { readCheckedAdapter } from '../peft/adapter.ts';
import type { Adapter, AdapterTask } from '../types.ts';
import { type Release, readVersion, VERSION_COLUMNS, type Version } from '../version.ts';
import type { Changes } from './changes.ts';
import type { AdaptersStoreOptions } from './options.ts';
import { EVERYONE, type Grantee, type Principal } from './principal.ts';
import { assertText, notFound } from './rules.ts';

/** A name and what it stands for. */
export interface AdapterEntry {
  readonly name: string;
  readonly owner: string;
  /** What `latest` stands for. */
  readonly digest: string;
  /** Of that version. */
  readonly kind: string;
  readonly task: AdapterTask;
  readonly bytes: number;
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

/** A version as the files that it was pushed as. */
export interface AdapterFiles {
  readonly release: Release;
  /** The text of adapter_config.json. */
  readonly config: string;
  /** The safetensors file, which can be read to its end whatever is removed meanwhile. */
  readonly weights: FileHandle;
}

const LONGEST_GRANTEE = 256;

/** Who may use which adapter, and what each finds of it. */
export class Access {
  readonly #options: AdaptersStoreOptions;
  readonly #changes: Changes;

  constructor(options: AdaptersStoreOptions, changes: Changes) {
    this.#options = options;
    this.#changes = changes;
  }

  /**
   * What a client's `model` stands for now, or null where it stands for nothing that it may use: the two are not told
   * apart. Checked against the metadata each time, so that what is revoked is so at once.
   */
  async resolve(text: string, principal: Principal): Promise<Version | null> {
    const reference = parseReference(text);
    if (reference === null) return null;
    return this.find(this.#options.database, reference, principal);
  }

  /** As `resolve`, within a change that has begun. */
  async find(
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
    const release = blobs.hold(digest);
    try {
      const file = await blobs.locate(row.blob);
      return await readCheckedAdapter({ name: digest, config: row.config, file, digest }, model);
    } finally {
      release();
    }
  }

  /**
   * The files of one of a name's versions. Whoever asks closes the weights.
   * @param which a reference's part behind the `@`, such as `v3`
   * @throws StoreError `adapter_not_found`, StorageError
   */
  async files(name: string, which: string, principal: Principal): Promise<AdapterFiles> {
    const { database, blobs } = this.#options;
    const reference = parseReference(`${name}@${which}`);
    const version = reference === null ? null : await this.find(database, reference, principal);
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
    const letGo = blobs.hold(version.digest);
    try {
      const weights = await open(await blobs.locate(row.blob));
      return { release: { name, number, version }, config: row.config, weights };
    } catch (error) {
      throw storageError(error, 'reading an adapter');
    } finally {
      letGo();
    }
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
      .innerJoin('version', 'version.digest', 'tag.digest')
      .where('tag.tag', '=', LATEST)
      .where((where) => mayUse(where, principal))
      .select(['adapter.name', 'adapter.owner', 'adapter.created_at', 'tag.digest', 'tag.moved_at'])
      .select(['version.kind', 'version.task', 'version.bytes'])
      .orderBy('adapter.name')
      .limit(limit);
    if (servable) query = query.where('version.base_digest', '=', this.#options.model.digest);
    if (after !== undefined) query = query.where('adapter.name', '>', after);
    const rows = await query.execute();
    return rows.map(({ name, owner, created_at, digest, kind, task, bytes, moved_at }) => ({
      name,
      owner,
      digest,
      kind,
      task,
      bytes,
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

  async grant(name: string, { kind, grantee }: Grantee, actor: Principal): Promise<void> {
    assertText(grantee, 'grantee', 1, LONGEST_GRANTEE);
    await this.#changes.own(name, actor, async (transaction, at) => {
      await transaction
        .insertInto('adapter_grant')
        .values({ name, kind, grantee, granted_at: at })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      return { action: 'adapter.grant', details: { kind, grantee } };
    });
  }

  async revoke(name: string, { kind, grantee }: Grantee, actor: Principal): Promise<void> {
    await this.#changes.own(name, actor, async (transaction) => {
      await transaction
        .deleteFrom('adapter_grant')
        .where('name', '=', name)
        .where('kind', '=', kind)
        .where('grantee', '=', grantee)
        .execute();
      return { action: 'adapter.revoke', details: { kind, grantee } };
    });
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
