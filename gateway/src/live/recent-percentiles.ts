/** Seconds that are remembered. */
const SECONDS = 30;
/** The shortest time that is told apart, in milliseconds, and the ratio of one bucket to the next: a figure is right within 2.5 %. */
const LEAST = 0.05;
const RATIO = 1.05;
/** Up to a day. */
const BUCKETS = 440;

const LOG_RATIO = Math.log(RATIO);

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** Percentiles of the times of the last half minute, in space that does not grow with how many there are. */
export class RecentPercentiles {
  /** Counts by bucket, of each second that is remembered. */
  readonly #seconds = Array.from({ length: SECONDS }, () => new Uint32Array(BUCKETS));
  readonly #all = new Uint32Array(BUCKETS);
  #now = 0;
  #count = 0;

  /** @param count how many there are of it */
  observe(milliseconds: number, count = 1): void {
    const place = Math.ceil(Math.log(milliseconds / LEAST) / LOG_RATIO);
    // Also what is no number, which `Math.log` makes of a time below zero.
    const bucket = place > 0 ? Math.min(place, BUCKETS - 1) : 0;
    this.#seconds[this.#now]![bucket]! += count;
    this.#all[bucket]! += count;
    this.#count += count;
  }

  /** A second is over: the oldest is forgotten. */
  turn(): void {
    this.#now = (this.#now + 1) % SECONDS;
    const oldest = this.#seconds[this.#now]!;
    for (const [bucket, count] of oldest.entries()) {
      if (count === 0) continue;
      this.#all[bucket]! -= count;
      this.#count -= count;
      oldest[bucket] = 0;
    }
  }

  /** In milliseconds; null: there is nothing to tell. */
  get percentiles(): Percentiles | null {
    if (this.#count === 0) return null;
    return { p50: this.#below(0.5), p95: this.#below(0.95), p99: this.#below(0.99) };
  }

  /** What this part of the times do not exceed. */
  #below(part: number): number {
    const wanted = Math.ceil(part * this.#count);
    let seen = 0;
    const bucket = this.#all.findIndex((count) => {
      seen += count;
      return seen >= wanted;
    });
    // The middle of the bucket.
    const value = LEAST * RATIO ** (bucket - 0.5);
    return Number(value.toPrecision(3));
  }
}
