import type { Transaction } from 'kysely';
import type { Tables } from '../metadata/tables.ts';
import { LATEST, parseReference } from '../name.ts';
import { StoreError } from '../store-error.ts';
import type { Access } from './access.ts';
import type { Changes } from './changes.ts';
import type { Principal } from './principal.ts';
import { assertTag, notFound } from './rules.ts';

/** What an adapter's owner lets its tags stand for, and which versions stay. */
export class Tags {
  readonly #access: Access;
  readonly #changes: Changes;

  constructor(access: Access, changes: Changes) {
    this.#access = access;
    this.#changes = changes;
  }

  /**
   * Moves a tag to another of the name's releases, at once: a request sees the old or the new.
   * @param to a reference's part behind the `@`, such as `v3`
   */
  async tag(name: string, tag: string, to: string, actor: Principal): Promise<void> {
    assertTag(tag);
    await this.#changes.own(name, actor, async (transaction, at) => {
      const reference = parseReference(`${name}@${to}`);
      const version = reference === null ? null : await this.#access.find(transaction, reference, actor);
      if (version === null) throw notFound(`'${name}' has no version '${to}'`);
      await moveTag(transaction, name, tag, version.digest, at);
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
    await this.#changes.own(name, actor, async (transaction, at) => {
      const row = await transaction
        .deleteFrom('tag')
        .where('name', '=', name)
        .where('tag', '=', tag)
        .returning('digest')
        .executeTakeFirst();
      if (row === undefined) throw notFound(`'${name}' has no tag '${tag}'`);
      await markUnreferenced(transaction, row.digest, at);
      return { action: 'adapter.untag', details: { tag } };
    });
  }

  /** Keeps a version whatever refers to it, or lets it be collected again. */
  async pin(name: string, digest: string, pinned: boolean, actor: Principal): Promise<void> {
    await this.#changes.own(name, actor, async (transaction) => {
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
}

/** Lets a tag stand for a version from now on. */
export async function moveTag(
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
  if (before !== undefined) await markUnreferenced(transaction, before.digest, at);
}

/** Notes since when no tag refers to a version, where none does. */
export async function markUnreferenced(
  transaction: Transaction<Tables>,
  digest: string,
  at: number,
): Promise<void> {
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
