/** Answers remembered for each key. */
const REMEMBERED = 64;
/** Below so many, the answers of all keys are asked. */
const ENOUGH = 8;
/** Before anything is known. Most requests say nothing of a limit, and counting on the model's would leave the pool idle. */
const FIRST_GUESS = 256;
/** Keys remembered; the one not seen for longest is forgotten. */
const MOST_KEYS = 4096;
/** Of the answers that were longer than this one is so far, the share that is not longer than the prediction. */
const QUANTILE = 0.75;

/** The last lengths, in order of arrival and of size. */
class Lengths {
  readonly #arrived: number[] = [];
  readonly #sorted: number[] = [];

  get count(): number {
    return this.#sorted.length;
  }

  add(length: number): void {
    if (this.#arrived.length === REMEMBERED) {
      this.#sorted.splice(this.#above(this.#arrived.shift()! - 1), 1);
    }
    this.#arrived.push(length);
    this.#sorted.splice(this.#above(length), 0, length);
  }

  /** Quantile of the lengths above `produced`; null where there are none. */
  beyond(produced: number): number | null {
    const from = this.#above(produced);
    const longer = this.#sorted.length - from;
    return longer === 0 ? null : this.#sorted[from + Math.floor(longer * QUANTILE)]!;
  }

  /** How many are at most this. */
  #above(length: number): number {
    let [low, high] = [0, this.#sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sorted[middle]! <= length) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * How long answers become, from those that came before for the same key (adapter and category): the admission of
 * requests counts on it (S³, Jin et al. 2023).
 */
export class LengthPredictor {
  readonly #byKey = new Map<string, Lengths>();
  readonly #all = new Lengths();

  observe(keys: readonly string[], length: number): void {
    for (const key of keys) {
      const lengths = this.#byKey.get(key) ?? new Lengths();
      this.#byKey.delete(key);
      this.#byKey.set(key, lengths);
      lengths.add(length);
      if (this.#byKey.size > MOST_KEYS) this.#byKey.delete(this.#byKey.keys().next().value!);
    }
    this.#all.add(length);
  }

  /**
   * The length of an answer that has `produced` tokens so far and may have `most`.
   * @param keys the most special first
   */
  predict(keys: readonly string[], produced: number, most: number): number {
    const lengths = this.#known(keys);
    const beyond = lengths.count < ENOUGH ? FIRST_GUESS : lengths.beyond(produced);
    // Longer than anything seen: it may double.
    return Math.min(most, beyond !== null && beyond > produced ? beyond : produced * 2);
  }

  #known(keys: readonly string[]): Lengths {
    for (const key of keys) {
      const own = this.#byKey.get(key);
      if (own !== undefined && own.count >= ENOUGH) return own;
    }
    return this.#all;
  }
}
