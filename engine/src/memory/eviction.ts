/**
 * What leaves the pool first when pages are needed: one order over idle adapters and over prefix blocks that nobody
 * uses, by a policy that can be exchanged.
 */
import type { Ranked } from '../ranked-queue.ts';

/** What a policy knows about something that could leave. */
export interface Evictable extends Ranked {
  /** The same when it comes back. */
  readonly key: string;
  readonly pages: number;
  /** What bringing it back costs, in seconds of computing: a block's tokens, or an adapter's part of it. */
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

/** A use counts 1/e after so many times the seconds that things stay in the pool. */
const USES_FADE = 2;
/** What saves e times as much stays longer by so many times the seconds that things stay in the pool. */
const SAVING_STAYS = 0.5;
/** Seconds that things are taken to stay until something has left. */
const FIRST_STAY = 60;
/** Weight of the newest against all before. */
const NEWEST = 1 / 256;
/** Entries that left whose uses are remembered. */
const MOST_REMEMBERED = 8192;

/** Something that left. */
interface Remembered {
  readonly key: string;
  readonly uses: number;
  readonly usedAt: number;
}

/**
 * Expected saving per byte: how often something was used, uses fading with age, × the seconds it takes to bring back ÷
 * its pages. Something new counts as used as often as its kind is likely to be (Marconi's admission: what is unlikely
 * to come back leaves before it displaces anything); something that had left and is back had its uses before.
 *
 * What was used last still leaves last where all else is equal, and what saves more stays longer, in proportion to how
 * long things stay at all: with a fixed time, a large pool would forget the popular and a small one would keep what was
 * popular long ago in place of the conversation that goes on. So the order between two does not change until one is
 * used, and a rank is computed once.
 */
export class ExpectedSaving implements EvictionPolicy {
  /** By key. */
  readonly #left = new Map<string, Remembered>();
  /** What left, in a ring: a map's first entry is slow to find where many before it were deleted. */
  readonly #ring: Remembered[] = [];
  #oldest = 0;
  /** Mean seconds between the last use of something and its leaving. */
  #stay = FIRST_STAY;
  /** With the first guess, which counts as one. */
  #departures = 1;
  /** Mean logarithm of a saving: savings count in proportion to it, so that a change of `#stay` moves nobody. */
  #usual = 0;
  #arrivals = 0;
  #now = 0;

  use(entry: Evictable, now: number): void {
    this.#now = now;
    entry.uses = this.#uses(entry, now);
    entry.usedAt = now;
    const saving = Math.log((entry.uses * entry.seconds) / entry.pages);
    this.#usual += (saving - this.#usual) * Math.max(NEWEST, 1 / ++this.#arrivals);
    entry.rank = now + SAVING_STAYS * this.#stay * (saving - this.#usual);
  }

  evicted(entry: Evictable): void {
    const usedAt = entry.usedAt!;
    this.#stay += (this.#now - usedAt - this.#stay) * Math.max(NEWEST, 1 / ++this.#departures);
    const left = { key: entry.key, uses: entry.uses, usedAt };
    this.#left.set(entry.key, left);
    const forgotten = this.#ring[this.#oldest];
    // It may have come back, and left again.
    if (forgotten !== undefined && this.#left.get(forgotten.key) === forgotten)
      this.#left.delete(forgotten.key);
    this.#ring[this.#oldest] = left;
    this.#oldest = (this.#oldest + 1) % MOST_REMEMBERED;
  }

  #uses(entry: Evictable, now: number): number {
    if (entry.usedAt !== null) return 1 + this.#faded(entry.uses, now - entry.usedAt);
    const before = this.#left.get(entry.key);
    if (before === undefined) return entry.likelihood;
    this.#left.delete(entry.key);
    return 1 + this.#faded(before.uses, now - before.usedAt);
  }

  #faded(uses: number, seconds: number): number {
    return uses * Math.exp(-seconds / (USES_FADE * this.#stay + 1));
  }
}
