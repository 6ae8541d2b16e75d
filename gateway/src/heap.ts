/** A binary heap: takes the first of many in order, without ever sorting them all at once. */
export class Heap<T> {
  readonly #compare: (a: T, b: T) => number;
  #items: T[] = [];

  /** @param compare below 0 where `a` comes first */
  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  get size(): number {
    return this.#items.length;
  }

  push(item: T): void {
    let index = this.#items.length;
    this.#items.push(item);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = this.#items[parent] as T;
      if (this.#compare(item, above) >= 0) break;
      this.#items[index] = above;
      index = parent;
    }
    this.#items[index] = item;
  }

  pop(): T | undefined {
    const first = this.#items[0];
    const last = this.#items.pop();
    if (last !== undefined && this.#items.length > 0) this.#sink(last, 0);
    return first;
  }

  filter(keep: (item: T) => boolean): void {
    this.#items = this.#items.filter(keep);
    for (let index = (this.#items.length >> 1) - 1; index >= 0; index--) {
      this.#sink(this.#items[index] as T, index);
    }
  }

  /** Puts an item where nothing is, or further down. */
  #sink(item: T, start: number): void {
    let index = start;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= this.#items.length) break;
      const right = this.#items[child + 1];
      if (right !== undefined && this.#compare(right, this.#items[child] as T) < 0) child += 1;
      const below = this.#items[child] as T;
      if (this.#compare(item, below) <= 0) break;
      this.#items[index] = below;
      index = child;
    }
    this.#items[index] = item;
  }
}
