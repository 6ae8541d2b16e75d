import type { PagePool } from './page-pool.ts';

interface Resident {
  readonly slot: number;
  readonly pages: number[];
  loaded: boolean;
  /** Running sequences that use it; above zero it cannot be evicted. */
  users: number;
}

/** An adapter to read into its pages. */
export interface AdapterLoad {
  readonly digest: string;
  readonly slot: number;
  readonly pages: readonly number[];
}

/**
 * Which adapters are in the pool. Idle ones stay until their pages are needed and then leave in the order
 * in which they were last used.
 */
export class AdapterResidency {
  readonly #pool: PagePool;
  /** Told which slot is empty, so that the addon forgets it too. */
  readonly #onEvict: (slot: number) => void;
  /** In order of last use, oldest first. */
  readonly #residents = new Map<string, Resident>();
  #nextSlot = 0;

  constructor(pool: PagePool, onEvict: (slot: number) => void) {
    this.#pool = pool;
    this.#onEvict = onEvict;
  }

  /** Digests of the adapters whose weights are loaded. */
  get resident(): string[] {
    return [...this.#residents].filter(([, resident]) => resident.loaded).map(([digest]) => digest);
  }

  state(digest: string): 'absent' | 'loading' | 'resident' {
    const resident = this.#residents.get(digest);
    return resident === undefined ? 'absent' : resident.loaded ? 'resident' : 'loading';
  }

  /** The addon's slot of an adapter that is resident or loading. */
  slot(digest: string): number {
    return this.#get(digest).slot;
  }

  /**
   * Takes pages for an adapter that is absent, evicting idle ones that are not in `wanted`. Null when there is
   * not enough room now.
   */
  reserve(digest: string, pageCount: number, wanted: ReadonlySet<string>): AdapterLoad | null {
    if (!this.makeRoom(pageCount, wanted)) return null;
    const pages = this.#pool.take(pageCount, 'adapter')!;
    const slot = this.#nextSlot++;
    this.#residents.set(digest, { slot, pages, loaded: false, users: 0 });
    return { digest, slot, pages };
  }

  /** The adapter's weights are in its pages. */
  loaded(digest: string): void {
    this.#get(digest).loaded = true;
  }

  /** The adapter could not be read: its pages are free again. */
  failed(digest: string): void {
    this.#evict(digest, this.#get(digest));
  }

  /** A sequence starts to use a resident adapter. */
  retain(digest: string): void {
    const resident = this.#get(digest);
    resident.users++;
    this.#residents.delete(digest);
    this.#residents.set(digest, resident);
  }

  /** A sequence stops using it. */
  release(digest: string): void {
    this.#get(digest).users--;
  }

  /** Evicts idle adapters, least recently used first, until `pageCount` pages are free. False: it cannot. */
  makeRoom(pageCount: number, wanted: ReadonlySet<string>): boolean {
    if (this.#pool.freeCount >= pageCount) return true;
    const idle = [...this.#residents].filter(
      ([digest, resident]) => resident.loaded && resident.users === 0 && !wanted.has(digest),
    );
    const reclaimable = idle.reduce((sum, [, resident]) => sum + resident.pages.length, 0);
    if (this.#pool.freeCount + reclaimable < pageCount) return false;
    for (const [digest, resident] of idle) {
      if (this.#pool.freeCount >= pageCount) break;
      this.#evict(digest, resident);
    }
    return true;
  }

  /** Drops an idle adapter at once; one in use stays until it is idle and evicted. */
  drop(digest: string): void {
    const resident = this.#residents.get(digest);
    if (resident?.loaded && resident.users === 0) this.#evict(digest, resident);
  }

  #get(digest: string): Resident {
    const resident = this.#residents.get(digest);
    if (resident === undefined) throw new Error(`adapter ${digest} is not resident`);
    return resident;
  }

  #evict(digest: string, resident: Resident): void {
    this.#residents.delete(digest);
    this.#pool.give(resident.pages, 'adapter');
    this.#onEvict(resident.slot);
  }
}
