import { RankedQueue } from '../ranked-queue.ts';
import type { AdapterEvictionReason } from '../types.ts';
import { AdapterResidency, type ResidentAdapter } from './adapter-residency.ts';
import type { Evictable, EvictionPolicy } from './eviction.ts';
import { PagePool } from './page-pool.ts';
import { type PrefixBlock, PrefixCache } from './prefix-cache.ts';

const NONE: ReadonlySet<string> = new Set();

type Kind = 'kv' | 'adapter';
type Entry = PrefixBlock | ResidentAdapter;

/** The pool with all that lives in it, and one order in which it makes room: KV blocks and adapters compete. */
export class UnifiedMemory {
  readonly pool: PagePool;
  readonly adapters: AdapterResidency;
  readonly prefixes: PrefixCache;
  readonly #policy: EvictionPolicy;
  /** The most pages of each kind. */
  readonly #limits: Readonly<Record<Kind, number>>;
  readonly #queue = new RankedQueue<Evictable>();
  /** Blocks that left for want of pages. */
  prefixEvictions = 0;

  /**
   * @param adapterPages a fixed part for adapters, as servers without a unified pool have it: a yardstick; null: whatever
   *   is worth most has the pages
   */
  constructor(
    pageCount: number,
    adapterPages: number | null,
    policy: EvictionPolicy,
    onEvictAdapter: (slot: number, reason: AdapterEvictionReason) => void,
  ) {
    this.pool = new PagePool(pageCount);
    this.#limits = { kv: pageCount - (adapterPages ?? 0), adapter: adapterPages ?? pageCount };
    this.#policy = policy;
    this.adapters = new AdapterResidency(this.pool, policy, this.#queue, onEvictAdapter);
    this.prefixes = new PrefixCache(this.pool, policy, this.#queue);
  }

  /** Pages that KV blocks could have. */
  get availableToBlocks(): number {
    return this.#available('kv', NONE);
  }

  /** Whether so many pages, for blocks and for adapters, could be had at once. */
  couldHold(blocks: number, adapterPages: number): boolean {
    const { kv, adapter } = this.#limits;
    return blocks <= kv && adapterPages <= adapter && blocks + adapterPages <= this.pool.pageCount;
  }

  /** Takes pages for KV blocks, making room. Null, and nothing changed, when it cannot. */
  takeBlocks(count: number, wanted: ReadonlySet<string> = NONE): number[] | null {
    if (!this.#makeRoom(count, 'kv', wanted)) return null;
    return this.pool.take(count, 'kv')!;
  }

  /** Makes room for an adapter, from others than those in `wanted`. False, and nothing changed, when it cannot. */
  makeRoomForAdapter(pageCount: number, wanted: ReadonlySet<string>): boolean {
    return this.#makeRoom(pageCount, 'adapter', wanted);
  }

  /** Throws when a page is lost or owned twice. For tests and simulations. */
  checkIntegrity(): void {
    this.pool.checkIntegrity();
    this.adapters.checkIntegrity();
    this.prefixes.checkIntegrity();
  }

  /** Pages that this kind could have without others than those in `wanted` losing theirs. */
  #available(kind: Kind, wanted: ReadonlySet<string>): number {
    const { freeCount } = this.pool;
    const prefixes = this.pool.count('prefix');
    const idle = this.adapters.idlePages - this.adapters.idlePagesOf(wanted);
    const used = kind === 'kv' ? this.pool.count('kv') : this.pool.count('adapter') - idle;
    return Math.min(freeCount + prefixes + idle, this.#limits[kind] - used);
  }

  /** Whether so many more pages of a kind would be too many. */
  #isOver(kind: Kind, count: number): boolean {
    const { pool } = this;
    const used = kind === 'kv' ? pool.count('kv') + pool.count('prefix') : pool.count('adapter');
    return used + count > this.#limits[kind];
  }

  #makeRoom(count: number, kind: Kind, wanted: ReadonlySet<string>): boolean {
    if (this.pool.freeCount >= count && !this.#isOver(kind, count)) return true;
    if (this.#available(kind, wanted) < count) return false;
    const spared = (entry: Entry) => entry.kind === 'adapter' && wanted.has(entry.digest);
    const other = (entry: Entry) => (entry.kind === 'adapter') !== (kind === 'adapter');
    this.#evict(
      kind,
      () => this.#isOver(kind, count),
      (entry) => other(entry) || spared(entry),
    );
    this.#evict(kind, () => this.pool.freeCount < count, spared);
    return true;
  }

  /** Evicts what is not spared, the least worth first, as long as it must. */
  #evict(reason: Kind, must: () => boolean, spares: (entry: Entry) => boolean): void {
    const spared: Evictable[] = [];
    while (must()) {
      const entry = this.#queue.pop() as Entry | undefined;
      if (entry === undefined) throw new Error('what could leave is counted wrongly');
      if (spares(entry)) {
        spared.push(entry);
        continue;
      }
      this.#policy.evicted(entry);
      if (entry.kind === 'adapter') {
        this.adapters.evict(entry, reason);
      } else {
        this.prefixes.evict(entry);
        this.prefixEvictions++;
      }
    }
    for (const entry of spared) this.#queue.add(entry);
  }
}
