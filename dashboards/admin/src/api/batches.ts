/** What comes one by one and is shown together, once a frame: hundreds a second would have the page do nothing else. */
export class Batches<T> {
  readonly #handle: (items: readonly T[]) => void;
  readonly #schedule: (callback: () => void) => void;
  #items: T[] = [];
  #isScheduled = false;

  /** @param schedule calls back when the next frame is drawn */
  constructor(handle: (items: readonly T[]) => void, schedule: (callback: () => void) => void) {
    this.#handle = handle;
    this.#schedule = schedule;
  }

  add(item: T): void {
    this.#items.push(item);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#schedule(() => this.#flush());
  }

  /** Forgets what was not handed over yet. */
  clear(): void {
    this.#items = [];
  }

  #flush(): void {
    this.#isScheduled = false;
    const items = this.#items;
    this.#items = [];
    if (items.length > 0) this.#handle(items);
  }
}
