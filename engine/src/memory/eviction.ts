/**
 * What leaves the pool first when pages are needed: one order over idle adapters and over prefix blocks that nobody
 * uses, by a policy that can be exchanged.
 */
import type { Ranked } from '../ranked-queue.ts';

/** What a policy knows about something that could leave. */
export interface Evictable extends Ranked {
  readonly pages: number;
  /** Seconds to bring it back: to read an adapter, or to compute a block's tokens again. */
  readonly seconds: number;
  /** How likely it was, when it came, to be used again: 0 to 1. */
  readonly likelihood: number;
  /** The policy's count of uses, perhaps faded. */
  uses: number;
  /** When it was last used, in seconds; null before it ever was. */
  usedAt: number | null;
}

/** A new entry's fields that belong to the policy and to the queue. */
export const UNRANKED = { uses: 0, usedAt: null, rank: 0, place: -1 } as const;

export interface EvictionPolicy {
  /** Books that `entry` came or was used, and sets its `rank`. Only outside the queue. */
  use(entry: Evictable, now: number): void;
  /** Told what left for want of pages. */
  evicted(entry: Evictable): void;
}

/** Least recently used first: the yardstick. */
export class LeastRecentlyUsed implements EvictionPolicy {
  use(entry: Evictable, now: number): void {
    entry.uses++;
    entry.usedAt = now;
    entry.rank = now;
  }

  evicted(): void {}
}

/** Greedy-Dual-Size-Frequency (Cherkasova 1998): uses × cost ÷ size above the rank of what left last. */
export class GreedyDualSizeFrequency implements EvictionPolicy {
  #floor = 0;

  use(entry: Evictable, now: number): void {
    entry.uses++;
    entry.usedAt = now;
    entry.rank = this.#floor + (entry.uses * entry.seconds) / entry.pages;
  }

  evicted(entry: Evictable): void {
    this.#floor = Math.max(this.#floor, entry.rank);
  }
}

/**
 * Expected saving per byte: how often it is used, uses fading with age, × the seconds it takes to bring back ÷ its
 * pages. Something new counts as used as often as its kind is likely to be (Marconi's admission: what is unlikely to
 * come back leaves before it displaces anything). As all uses fade at one rate, the order between two entries does not
 * change until one is used, so a rank is computed once: the logarithm of the saving, moved to the present.
 */
export class ExpectedSaving implements EvictionPolicy {
  readonly #fadeSeconds: number;

  /** @param fadeSeconds after which a use counts 1/e */
  constructor(fadeSeconds = 300) {
    this.#fadeSeconds = fadeSeconds;
  }

  use(entry: Evictable, now: number): void {
    if (entry.usedAt === null) {
      entry.uses = entry.likelihood;
    } else {
      entry.uses = 1 + entry.uses * Math.exp((entry.usedAt - now) / this.#fadeSeconds);
    }
    entry.usedAt = now;
    entry.rank = Math.log((entry.uses * entry.seconds) / entry.pages) + now / this.#fadeSeconds;
  }

  evicted(): void {}
}
