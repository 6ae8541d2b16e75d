/** The last so many of something: one more takes the place of the oldest. */
export class Ring<T> {
  readonly #most: number;
  readonly #items: T[] = [];
  /** Where the next one goes. */
  #next = 0;

  constructor(most: number) {
    this.#most = most;
  }

  push(item: T): void {
    this.#items[this.#next] = item;
    this.#next = (this.#next + 1) % this.#most;
  }

  /** All that are there now, the newest first. */
  newest(): T[] {
    return [...this.#items.slice(this.#next), ...this.#items.slice(0, this.#next)].reverse();
  }
}
