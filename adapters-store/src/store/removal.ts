import { removeLeftovers } from '../leftovers.ts';
import type { Changes } from './changes.ts';
import type { AdaptersStoreOptions } from './options.ts';
import type { Principal } from './principal.ts';
import { markUnreferenced } from './tags.ts';

interface RemovedVersion {
  readonly digest: string;
  readonly blob: string;
}

/** Files without a version stay at least so long, whatever the grace time: a push that is about to name them may be slow. */
const LONGEST_PUSH_MILLISECONDS = 60 * 60 * 1000;
/** In one transaction. */
const MOST_COLLECTED = 500;

/** How contents go: with the last name that has them, or when nothing has referred to them for long. */
export class Removal {
  readonly #options: AdaptersStoreOptions;
  readonly #changes: Changes;
  readonly #tellRemoved: (digest: string) => void;

  constructor(options: AdaptersStoreOptions, changes: Changes, tellRemoved: (digest: string) => void) {
    this.#options = options;
    this.#changes = changes;
    this.#tellRemoved = tellRemoved;
  }

  /**
   * Removes a name with its tags, releases and grants, and the bytes of every version that no other name has, at once.
   * @returns the digests whose bytes are gone
   */
  async remove(name: string, actor: Principal): Promise<readonly string[]> {
    const removed: RemovedVersion[] = [];
    await this.#changes.own(name, actor, async (transaction, at) => {
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
          await markUnreferenced(transaction, digest, at);
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
    const before = this.#changes.now() - graceSeconds * 1000;
    const removed = await this.#changes.inTurn(async (transaction) => {
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
      await this.#changes.audit(
        transaction,
        actor,
        'adapter.collect',
        '',
        { removed: digests },
        this.#changes.now(),
      );
      return old;
    });
    await this.#forget(removed);
    const abandoned = Math.min(before, this.#changes.now() - LONGEST_PUSH_MILLISECONDS);
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

  async #forget(versions: readonly RemovedVersion[]): Promise<void> {
    for (const { digest, blob } of versions) {
      this.#tellRemoved(digest);
      // The version is gone, and its file goes when it can: at the latest with what is collected.
      await this.#options.blobs.delete(blob).catch(() => {});
    }
  }
}
