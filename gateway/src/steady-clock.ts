/** Wall and steady time may be so far apart without one being wrong: adjustments, and a busy process. */
const USUAL_MILLISECONDS = 2_000;
/** A clock that has stayed elsewhere for so long was set right, or the machine has slept. */
const BELIEVED_AFTER_MILLISECONDS = 5 * 60_000;

/**
 * The time of day, for what ends at a date (keys, budgets' periods, stored responses, batches), that does not follow a jump of
 * the machine's clock at once: an hour forward and back again ends nothing. A jump that lasts five minutes is believed.
 */
export class SteadyClock {
  readonly #wall: () => number;
  readonly #steady: () => number;
  /** Wall time at the steady clock's zero. */
  #zero: number;
  #elsewhereSince: number | null = null;

  constructor(wall: () => number = Date.now, steady: () => number = () => performance.now()) {
    this.#wall = wall;
    this.#steady = steady;
    this.#zero = wall() - steady();
  }

  /** Milliseconds since 1970, whole ones. */
  now(): number {
    return Math.round(this.#now());
  }

  #now(): number {
    const [wall, steady] = [this.#wall(), this.#steady()];
    const expected = this.#zero + steady;
    if (Math.abs(wall - expected) > USUAL_MILLISECONDS) {
      this.#elsewhereSince ??= steady;
      if (steady - this.#elsewhereSince < BELIEVED_AFTER_MILLISECONDS) return expected;
    }
    this.#elsewhereSince = null;
    this.#zero = wall - steady;
    return wall;
  }
}
