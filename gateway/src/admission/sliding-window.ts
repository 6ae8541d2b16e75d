const SECONDS = 60;

/**
 * What was used in the last minute, second by second. The clock is the caller's, in milliseconds, and must be steady.
 */
export class SlidingWindow {
  readonly #used = new Float64Array(SECONDS);
  #second = Number.NEGATIVE_INFINITY;
  #total = 0;

  /** @returns the sum as of now */
  total(now: number): number {
    this.#advance(now);
    return this.#total;
  }

  add(now: number, amount: number): void {
    this.#advance(now);
    this.#change(this.#second, amount);
  }

  /** Changes what was added at a time; what has left the window is past. */
  correct(now: number, addedAt: number, amount: number): void {
    this.#advance(now);
    const second = Math.floor(addedAt / 1000);
    if (second > this.#second - SECONDS && second <= this.#second) this.#change(second, amount);
  }

  /** Milliseconds until no more than so much is used, if nothing is added. */
  untilAtMost(now: number, most: number): number {
    this.#advance(now);
    // Where not even one is allowed, the limit may be another in a minute.
    if (most < 0) return SECONDS * 1000;
    let left = this.#total;
    for (let age = SECONDS - 1; age >= 0 && left > most; age--) {
      left -= this.#used[slot(this.#second - age)] ?? 0;
      if (left <= most) return (this.#second - age + SECONDS) * 1000 - now;
    }
    return 0;
  }

  /** Milliseconds until nothing is used, if nothing is added. */
  untilEmpty(now: number): number {
    this.#advance(now);
    for (let age = 0; age < SECONDS; age++) {
      if (this.#used[slot(this.#second - age)] !== 0) return (this.#second - age + SECONDS) * 1000 - now;
    }
    return 0;
  }

  #change(second: number, amount: number): void {
    const index = slot(second);
    this.#used[index] = (this.#used[index] ?? 0) + amount;
    this.#total += amount;
  }

  #advance(now: number): void {
    const second = Math.floor(now / 1000);
    if (second - this.#second >= SECONDS) {
      this.#used.fill(0);
      this.#total = 0;
      this.#second = second;
    }
    while (this.#second < second) {
      const index = slot(++this.#second);
      this.#total -= this.#used[index] ?? 0;
      this.#used[index] = 0;
    }
  }
}

function slot(second: number): number {
  return ((second % SECONDS) + SECONDS) % SECONDS;
}
