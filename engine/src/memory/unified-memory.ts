import { RankedQueue } from '../ranked-queue.ts';
import type { AdapterEvictionReason } from '../types.ts';
import { AdapterResidency, type ResidentAdapter } from './adapter-residency.ts';
import type { Evictable, EvictionPolicy } from './eviction.ts';
import { PagePool } from './page-pool.ts';
import { type PrefixBlock, PrefixCache } from './prefix-cache.ts';

const NONE: ReadonlySet<string> = new Set();

/** The pool with all that lives in it, and one order in which it makes room: KV blocks and adapters compete. */
export class UnifiedMemory {
  readonly pool: PagePool;
  readonly adapters: AdapterResidency;
  readonly prefixes: PrefixCache;
  readonly #policy: EvictionPolicy;
  readonly #queue = new RankedQueue<Evictable>();
  /** Blocks that left for want of pages. */
  prefixEvictions = 0;

  constructor(
    pageCount: number,
    policy: EvictionPolicy,
    onEvictAdapter: (slot: number, reason: AdapterEvictionReason) => void,
  ) {
    this.pool = new PagePool(pageCount);
    this.#policy = policy;
    this.adapters = new AdapterResidency(this.pool, policy, this.#queue, onEvictAdapter);
    this.prefixes = new PrefixCache(this.pool, policy, this.#queue);
  }

  /** Pages that are free, or could be. */
  get available(): number {
    return this.pool.freeCount + this.pool.count('prefix') + this.adapters.idlePages;
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

  #makeRoom(count: number, reason: 'kv' | 'adapter', wanted: ReadonlySet<string>): boolean {
    if (this.pool.freeCount >= count) return true;
    if (this.available - this.adapters.idlePagesOf(wanted) < count) return false;
    const spared: Evictable[] = [];
    while (this.pool.freeCount < count) {
      const entry = this.#queue.pop() as PrefixBlock | ResidentAdapter | undefined;
      if (entry === undefined) throw new Error('what could leave is counted wrongly');
      if (entry.kind === 'adapter' && wanted.has(entry.digest)) {
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
    return true;
  }
}
