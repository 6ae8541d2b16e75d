import type { Evictable, EvictionPolicy, PrefixBlock, ResidentAdapter } from '@polylora/engine/scheduling';

/** How much of a kind came, how much of it left for want of pages, and how much of that had to come back. */
export interface Turnover {
  came: number;
  left: number;
  back: number;
}

/** A policy that is watched at its work. Counts pages. */
export class ObservedPolicy implements EvictionPolicy {
  readonly #policy: EvictionPolicy;
  /** Keys of what left and has not come back. */
  readonly #gone = new Set<string>();
  readonly turnover = { adapter: fresh(), prefix: fresh() };

  constructor(policy: EvictionPolicy) {
    this.#policy = policy;
  }

  use(entry: Evictable, now: number): void {
    if (entry.usedAt === null) {
      const turnover = this.#of(entry);
      turnover.came += entry.pages;
      if (this.#gone.delete(entry.key)) turnover.back += entry.pages;
    }
    this.#policy.use(entry, now);
  }

  evicted(entry: Evictable): void {
    this.#of(entry).left += entry.pages;
    this.#gone.add(entry.key);
    this.#policy.evicted(entry);
  }

  #of(entry: Evictable): Turnover {
    return this.turnover[(entry as PrefixBlock | ResidentAdapter).kind];
  }
}

function fresh(): Turnover {
  return { came: 0, left: 0, back: 0 };
}
