/** Something with a place in an order. */
export interface Ranked {
  /** What has the lowest rank comes first. Not to be changed inside the queue. */
  rank: number;
  /** Its place in the queue's heap, -1 outside. Belongs to the queue. */
  place: number;
}

/** Entries by rank: a binary heap that knows each entry's place. Adding and taking out are O(log n). */
export class RankedQueue<T extends Ranked> {
  readonly #heap: T[] = [];

  get size(): number {
    return this.#heap.length;
  }

  add(entry: T): void {
    if (entry.place >= 0) throw new Error('it is in the queue already');
    this.#heap.push(entry);
    this.#up(entry, this.#heap.length - 1);
  }

  delete(entry: T): void {
    const { place } = entry;
    if (this.#heap[place] !== entry) throw new Error('it is not in the queue');
    const last = this.#heap.pop()!;
    entry.place = -1;
    if (last === entry) return;
    this.#up(last, place);
    this.#down(last, last.place);
  }

  /** Changes the rank of an entry, in the queue or not. */
  move(entry: T, rank: number): void {
    entry.rank = rank;
    if (entry.place < 0) return;
    this.#up(entry, entry.place);
    this.#down(entry, entry.place);
  }

  /** What has the lowest rank. */
  get first(): T | undefined {
    return this.#heap[0];
  }

  /** Takes out what has the lowest rank. */
  pop(): T | undefined {
    const [first] = this.#heap;
    if (first !== undefined) this.delete(first);
    return first;
  }

  #up(entry: T, from: number): void {
    let place = from;
    while (place > 0) {
      const parent = this.#heap[(place - 1) >> 1]!;
      if (parent.rank <= entry.rank) break;
      this.#set(place, parent);
      place = (place - 1) >> 1;
    }
    this.#set(place, entry);
  }

  #down(entry: T, from: number): void {
    let place = from;
    for (;;) {
      const left = 2 * place + 1;
      if (left >= this.#heap.length) break;
      const right = left + 1;
      const least =
        right < this.#heap.length && this.#heap[right]!.rank < this.#heap[left]!.rank ? right : left;
      if (entry.rank <= this.#heap[least]!.rank) break;
      this.#set(place, this.#heap[least]!);
      place = least;
    }
    this.#set(place, entry);
  }

  #set(place: number, entry: T): void {
    this.#heap[place] = entry;
    entry.place = place;
  }
}
