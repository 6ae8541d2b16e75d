import { checkedBefore, rememberChecked } from './metadata/checked-folders.ts';
import type { CheckedFolder } from './peft/directory.ts';
import { Access, type AdapterDetails, type AdapterEntry, type AdapterFiles } from './store/access.ts';
import { Changes } from './store/changes.ts';
import type { AdaptersStoreOptions } from './store/options.ts';
import type { Grantee, Principal } from './store/principal.ts';
import { type Push, type PushIntent, Pushing } from './store/push.ts';
import { Removal } from './store/removal.ts';
import { Tags } from './store/tags.ts';
import type { Adapter } from './types.ts';
import type { Release, Version } from './version.ts';

/**
 * Tenants' adapters: contents by digest, names that point at them, and who may use which. What is acknowledged is
 * durable; what is not is not there.
 */
export class AdaptersStore {
  readonly #options: AdaptersStoreOptions;
  readonly #access: Access;
  readonly #pushing: Pushing;
  readonly #tags: Tags;
  readonly #removal: Removal;
  readonly #onRemoved = new Set<(digest: string) => void>();

  constructor(options: AdaptersStoreOptions) {
    const changes = new Changes(options.database, options.clock ?? Date.now);
    const tellRemoved = (digest: string) => {
      for (const listener of this.#onRemoved) listener(digest);
    };
    options.blobs.onGone(tellRemoved);
    this.#options = options;
    this.#access = new Access(options, changes);
    this.#pushing = new Pushing(options, changes, tellRemoved);
    this.#tags = new Tags(this.#access, changes);
    this.#removal = new Removal(options, changes, tellRemoved);
  }

  /** Is told each digest whose file is gone, or no longer where it was: whoever holds its weights lets go of them. */
  onRemoved(listener: (digest: string) => void): void {
    this.#onRemoved.add(listener);
  }

  /**
   * Checks an adapter and gives it its name's next release number and `latest`. The same content again, while it is
   * the latest, changes nothing but the tags asked for.
   *
   * @throws AdapterError for what is wrong with it, StoreError, StorageError
   */
  push(push: Push, actor: Principal): Promise<Release> {
    return this.#pushing.push(push, actor);
  }

  /** Whether there may be such a push, before its files are here. @throws StoreError */
  assertPushable(push: PushIntent, actor: Principal): Promise<void> {
    return this.#pushing.assertPushable(push, actor);
  }

  /**
   * What a client's `model` stands for now, or null where it stands for nothing that it may use: the two are not told
   * apart. Checked against the metadata each time, so that what is revoked is so at once.
   */
  resolve(text: string, principal: Principal): Promise<Version | null> {
    return this.#access.resolve(text, principal);
  }

  /**
   * A version's weights: their file, and where in it each tensor is.
   * @throws StorageError, or AdapterError where the file is not what was stored
   */
  weights(digest: string): Promise<Adapter> {
    return this.#access.weights(digest);
  }

  /** Keeps the file of a version where `weights` found it, until what is returned is called. */
  hold(digest: string): () => void {
    return this.#options.blobs.hold(digest);
  }

  /**
   * The files of one of a name's versions.
   * @param which a reference's part behind the `@`, such as `v3`
   * @throws StoreError `adapter_not_found`, StorageError
   */
  files(name: string, which: string, principal: Principal): Promise<AdapterFiles> {
    return this.#access.files(name, which, principal);
  }

  /**
   * The adapters that somebody may use, by name, after the name given.
   * @param options.servable only those whose `latest` is for this base model
   */
  list(
    principal: Principal,
    options: { limit: number; after?: string; servable?: boolean },
  ): Promise<AdapterEntry[]> {
    return this.#access.list(principal, options);
  }

  /** @throws StoreError `adapter_not_found` */
  inspect(name: string, principal: Principal): Promise<AdapterDetails> {
    return this.#access.inspect(name, principal);
  }

  /**
   * Moves a tag to another of the name's releases, at once: a request sees the old or the new.
   * @param to a reference's part behind the `@`, such as `v3`
   */
  tag(name: string, tag: string, to: string, actor: Principal): Promise<void> {
    return this.#tags.tag(name, tag, to, actor);
  }

  /** Takes a tag away. `latest` stays: a name without it would stand for nothing. */
  untag(name: string, tag: string, actor: Principal): Promise<void> {
    return this.#tags.untag(name, tag, actor);
  }

  grant(name: string, grantee: Grantee, actor: Principal): Promise<void> {
    return this.#access.grant(name, grantee, actor);
  }

  revoke(name: string, grantee: Grantee, actor: Principal): Promise<void> {
    return this.#access.revoke(name, grantee, actor);
  }

  /** Keeps a version whatever refers to it, or lets it be collected again. */
  pin(name: string, digest: string, pinned: boolean, actor: Principal): Promise<void> {
    return this.#tags.pin(name, digest, pinned, actor);
  }

  /**
   * Removes a name with its tags, releases and grants, and the bytes of every version that no other name has, at once.
   * @returns the digests whose bytes are gone
   */
  remove(name: string, actor: Principal): Promise<readonly string[]> {
    return this.#removal.remove(name, actor);
  }

  /**
   * Removes versions that no tag has referred to for the grace time, and what pushes that broke off have left.
   * @returns their digests
   */
  collect(): Promise<readonly string[]> {
    return this.#removal.collect();
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
}
