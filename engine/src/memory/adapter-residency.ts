import type { RankedQueue } from '../ranked-queue.ts';
import type { AdapterEvictionReason } from '../types.ts';
import { type Evictable, type EvictionPolicy, UNRANKED } from './eviction.ts';
import type { PagePool } from './page-pool.ts';

/** Reading an adapter holds up those who asked for it; computing a prompt holds up everybody. */
const READING_COST = 0.25;

/** An adapter in the pool, or on its way. */
export interface ResidentAdapter extends Evictable {
  readonly kind: 'adapter';
  readonly digest: string;
  readonly slot: number;
  readonly pageNumbers: readonly number[];
  loaded: boolean;
  /** Running sequences that use it; above zero it cannot leave. */
  users: number;
  pinned: boolean;
}

/** An adapter to read into its pages. */
export interface AdapterLoad {
  readonly digest: string;
  readonly slot: number;
  readonly pages: readonly number[];
}

/** Which adapters are in the pool. Idle ones stay until their pages are needed. */
export class AdapterResidency {
  readonly #pool: PagePool;
  readonly #policy: EvictionPolicy;
  readonly #queue: RankedQueue<Evictable>;
  /** Told which slot is empty, so that the addon forgets it too. */
  readonly #onEvict: (slot: number, reason: AdapterEvictionReason) => void;
  readonly #residents = new Map<string, ResidentAdapter>();
  /** Digests that shall stay, whether they are here yet or not. */
  readonly #pinned = new Set<string>();
  #idlePages = 0;
  #nextSlot = 0;

  /** @param queue of all that could leave the pool; idle adapters enter and leave it as they are used. */
  constructor(
    pool: PagePool,
    policy: EvictionPolicy,
    queue: RankedQueue<Evictable>,
    onEvict: (slot: number, reason: AdapterEvictionReason) => void,
  ) {
    this.#pool = pool;
    this.#policy = policy;
    this.#queue = queue;
    this.#onEvict = onEvict;
  }

  /** Digests of the adapters whose weights are loaded. */
  get resident(): string[] {
    return [...this.#residents.values()].filter(({ loaded }) => loaded).map(({ digest }) => digest);
  }

  /** All in the pool, or on their way. */
  get all(): Iterable<ResidentAdapter> {
    return this.#residents.values();
  }

  get pinned(): ReadonlySet<string> {
    return this.#pinned;
  }

  /** Pages of adapters that could leave now. */
  get idlePages(): number {
    return this.#idlePages;
  }

  /** Of that, the pages of these adapters. */
  idlePagesOf(digests: ReadonlySet<string>): number {
    let pages = 0;
    for (const digest of digests) {
      const resident = this.#residents.get(digest);
      if (resident !== undefined && resident.place >= 0) pages += resident.pages;
    }
    return pages;
  }

  state(digest: string): 'absent' | 'loading' | 'resident' {
    const resident = this.#residents.get(digest);
    return resident === undefined ? 'absent' : resident.loaded ? 'resident' : 'loading';
  }

  /** The addon's slot of an adapter that is resident or loading. */
  slot(digest: string): number {
    return this.#get(digest).slot;
  }

  /** Takes an absent adapter in: its pages, free ones, are to be filled. @param seconds that reading it takes */
  reserve(digest: string, pageCount: number, seconds: number, now: number): AdapterLoad {
    const pages = this.#pool.take(pageCount, 'adapter');
    if (pages === null) throw new Error('there are not enough free pages');
    const slot = this.#nextSlot++;
    const resident: ResidentAdapter = {
      ...UNRANKED,
      kind: 'adapter',
      key: digest,
      digest,
      slot,
      pages: pageCount,
      pageNumbers: pages,
      seconds: seconds * READING_COST,
      likelihood: 1,
      loaded: false,
      users: 0,
      pinned: this.#pinned.has(digest),
    };
    this.#policy.use(resident, now);
    this.#residents.set(digest, resident);
    return { digest, slot, pages };
  }

  /** The adapter's weights are in its pages. */
  loaded(digest: string): void {
    const resident = this.#get(digest);
    resident.loaded = true;
    this.#settle(resident);
  }

  /** The adapter could not be read: its pages are free again. */
  failed(digest: string): void {
    this.#leave(this.#get(digest), 'failed');
  }

  /** A sequence starts to use a resident adapter. */
  retain(digest: string, now: number): void {
    const resident = this.#get(digest);
    this.#unsettle(resident);
    resident.users++;
    this.#policy.use(resident, now);
  }

  /** A sequence stops using it. */
  release(digest: string): void {
    const resident = this.#get(digest);
    resident.users--;
    this.#settle(resident);
  }

  /** Keeps an adapter in the pool once it is there, or lets it leave again. */
  pin(digest: string, pinned: boolean): void {
    if (pinned) this.#pinned.add(digest);
    else this.#pinned.delete(digest);
    const resident = this.#residents.get(digest);
    if (resident === undefined) return;
    this.#unsettle(resident);
    resident.pinned = pinned;
    this.#settle(resident);
  }

  /** Frees the pages of an adapter that has left the queue. */
  evict(resident: ResidentAdapter, reason: AdapterEvictionReason): void {
    this.#idlePages -= resident.pages;
    this.#leave(resident, reason);
  }

  /** Drops an adapter that is not used at once; one in use stays until it is idle and evicted. */
  drop(digest: string): void {
    this.#pinned.delete(digest);
    const resident = this.#residents.get(digest);
    if (resident === undefined) return;
    this.pin(digest, false);
    if (resident.place < 0) return;
    this.#queue.delete(resident);
    this.evict(resident, 'removed');
  }

  /** Throws when the books are wrong. For tests and simulations. */
  checkIntegrity(): void {
    let [pages, idle] = [0, 0];
    for (const resident of this.#residents.values()) {
      const free = resident.loaded && resident.users === 0 && !resident.pinned;
      if (resident.place >= 0 !== free) {
        throw new Error('an adapter can leave and is not in the queue, or the other way round');
      }
      pages += resident.pages;
      if (free) idle += resident.pages;
    }
    if (pages !== this.#pool.count('adapter')) throw new Error('an adapter page has no adapter');
    if (idle !== this.#idlePages) throw new Error('idle adapters are counted wrongly');
  }

  #get(digest: string): ResidentAdapter {
    const resident = this.#residents.get(digest);
    if (resident === undefined) throw new Error(`adapter ${digest} is not resident`);
    return resident;
  }

  /** Into the queue, where it can leave. */
  #settle(resident: ResidentAdapter): void {
    if (resident.place >= 0 || !resident.loaded || resident.users > 0 || resident.pinned) return;
    this.#queue.add(resident);
    this.#idlePages += resident.pages;
  }

  #unsettle(resident: ResidentAdapter): void {
    if (resident.place < 0) return;
    this.#queue.delete(resident);
    this.#idlePages -= resident.pages;
  }

  #leave(resident: ResidentAdapter, reason: AdapterEvictionReason): void {
    this.#residents.delete(resident.digest);
    this.#pool.give(resident.pageNumbers, 'adapter');
    this.#onEvict(resident.slot, reason);
  }
}
