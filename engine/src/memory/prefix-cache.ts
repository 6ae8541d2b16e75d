import type { RankedQueue } from '../ranked-queue.ts';
import type { Evictable, EvictionPolicy } from './eviction.ts';
import type { PagePool } from './page-pool.ts';

/** Who computed a block first: reading a prompt, or generating an answer that may become part of one. */
export type BlockOrigin = 'prompt' | 'output';

const MOST_COUNTED = 4096;

/** How often blocks of a sort came to be used again: counts, with one of two assumed before anything is seen. */
class LikelihoodClass {
  #came = 2;
  #reused = 1;

  get likelihood(): number {
    return this.#reused / this.#came;
  }

  came(): void {
    this.#came++;
    // Fades, so that it follows a change of traffic.
    if (this.#came > MOST_COUNTED) {
      this.#came /= 2;
      this.#reused /= 2;
    }
  }

  reused(): void {
    this.#reused = Math.min(this.#reused + 1, this.#came);
  }
}

/** Whose a block is, as it was told when it came. */
export interface BlockOwner {
  /** Who may find it; null: all tenants. */
  readonly tenant: string | null;
  /** Digest of the adapter that it was computed with. */
  readonly adapter: string | null;
}

/** A full KV block that everyone whose tokens begin with the same ones uses together. */
export interface PrefixBlock extends Evictable {
  readonly kind: 'prefix';
  /** Hash of its tokens, of all before them, and of whose they are. */
  readonly key: string;
  readonly page: number;
  readonly parent: PrefixBlock | null;
  readonly owner: BlockOwner;
  readonly likelihoodClass: LikelihoodClass;
  /** Sequences that use it; above zero it cannot leave. */
  users: number;
  /** Blocks that continue it; above zero it cannot leave, because they could not be found any more. */
  followers: number;
  reused: boolean;
  /** Whether a block before it was used again before it came: somebody goes on from something shared. */
  readonly branch: boolean;
}

/**
 * The KV blocks of beginnings seen before, by content. Blocks are shared without a copy and counted; one that nobody
 * uses stays until its page is needed, and leaves from the end of a chain first.
 *
 * How likely a block is to be used again is learnt for four sorts, as Marconi (Pan et al. 2024) tells them apart: read
 * or generated, and after a block that was itself used again (a branch off something shared) or not.
 */
export class PrefixCache {
  readonly #pool: PagePool;
  readonly #policy: EvictionPolicy;
  readonly #queue: RankedQueue<Evictable>;
  readonly #blocks = new Map<string, PrefixBlock>();
  readonly #classes = {
    prompt: { branch: new LikelihoodClass(), other: new LikelihoodClass() },
    output: { branch: new LikelihoodClass(), other: new LikelihoodClass() },
  };

  /** @param queue of all that could leave the pool; blocks enter and leave it as they are used. */
  constructor(pool: PagePool, policy: EvictionPolicy, queue: RankedQueue<Evictable>) {
    this.#pool = pool;
    this.#policy = policy;
    this.#queue = queue;
  }

  get size(): number {
    return this.#blocks.size;
  }

  /** Blocks that no sequence uses now. */
  *unused(): Generator<PrefixBlock> {
    for (const block of this.#blocks.values()) if (block.users === 0) yield block;
  }

  /** How many blocks of a chain, from its beginning, are here. `keyOf` gives a block's key; asked up to `most`. */
  longest(keyOf: (index: number) => string, most: number): number {
    let count = 0;
    while (count < most && this.#blocks.has(keyOf(count))) count++;
    return count;
  }

  /** Uses a block that is here. */
  acquire(key: string, now: number): PrefixBlock {
    const block = this.#blocks.get(key)!;
    if (!block.reused) {
      block.reused = true;
      block.likelihoodClass.reused();
    }
    this.#hold(block);
    this.#policy.use(block, now);
    return block;
  }

  /**
   * Shares a block that has just been computed, its page held as `kv` by the caller, who goes on using it. Where an equal
   * one is here already, that is used instead and the caller's page is given back: their bits are the same.
   *
   * @param seconds that computing it again would take
   */
  publish(
    key: string,
    parent: PrefixBlock | null,
    owner: BlockOwner,
    page: number,
    seconds: number,
    origin: BlockOrigin,
    now: number,
  ): PrefixBlock {
    const known = this.#blocks.get(key);
    if (known !== undefined) {
      this.#pool.give([page], 'kv');
      this.#hold(known);
      return known;
    }
    const branch = parent !== null && (parent.reused || parent.branch);
    const likelihoodClass = this.#classes[origin][branch ? 'branch' : 'other'];
    likelihoodClass.came();
    const block: PrefixBlock = {
      kind: 'prefix',
      key,
      page,
      parent,
      owner,
      pages: 1,
      seconds,
      likelihoodClass,
      likelihood: likelihoodClass.likelihood,
      branch,
      users: 1,
      followers: 0,
      reused: false,
      // Written out: spreading `UNRANKED` here took a quarter of a simulation's time.
      uses: 0,
      usedAt: null,
      rank: 0,
      place: -1,
    };
    if (parent !== null) parent.followers++;
    this.#blocks.set(key, block);
    this.#policy.use(block, now);
    return block;
  }

  /** Ends a use. The blocks of a chain are to be released from its end, so that the end leaves first. */
  release(block: PrefixBlock): void {
    block.users--;
    if (block.users > 0) return;
    this.#pool.turn(block.page, 'kv', 'prefix');
    if (block.followers === 0) this.#queue.add(block);
  }

  /** Frees the page of a block that has left the queue. */
  evict(block: PrefixBlock): void {
    this.#blocks.delete(block.key);
    this.#pool.give([block.page], 'prefix');
    const { parent } = block;
    if (parent === null) return;
    parent.followers--;
    if (parent.users === 0 && parent.followers === 0) this.#queue.add(parent);
  }

  /** Frees what was computed with an adapter, which no sequence uses any more. */
  drop(adapter: string): void {
    for (const block of this.#blocks.values()) {
      if (block.owner.adapter !== adapter || block.users > 0) continue;
      if (block.place >= 0) this.#queue.delete(block);
      this.#blocks.delete(block.key);
      this.#pool.give([block.page], 'prefix');
      // A chain is one adapter's: what comes before goes as well, unless somebody has begun to use it again.
      if (block.parent !== null) block.parent.followers--;
    }
  }

  /** Throws when the books are wrong. For tests and simulations. */
  checkIntegrity(): void {
    let unused = 0;
    const followers = new Map<PrefixBlock, number>();
    for (const block of this.#blocks.values()) {
      if (block.users === 0) unused++;
      if (block.place >= 0 !== (block.users === 0 && block.followers === 0)) {
        throw new Error('a prefix block can leave and is not in the queue, or the other way round');
      }
      if (block.parent !== null) {
        if (this.#blocks.get(block.parent.key) !== block.parent) throw new Error('a block lost its parent');
        if (block.parent.users < block.users) throw new Error('a block is used and its parent is not');
        followers.set(block.parent, (followers.get(block.parent) ?? 0) + 1);
      }
    }
    for (const block of this.#blocks.values()) {
      if (block.followers !== (followers.get(block) ?? 0)) throw new Error('followers are counted wrongly');
    }
    if (unused !== this.#pool.count('prefix')) throw new Error('a prefix page has no block');
  }

  #hold(block: PrefixBlock): void {
    if (block.users === 0) {
      if (block.place >= 0) this.#queue.delete(block);
      this.#pool.turn(block.page, 'prefix', 'kv');
    }
    block.users++;
  }
}
