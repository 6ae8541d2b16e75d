import type { Distribution, Times } from './types.ts';

/** Counts values as they come; two additions each. */
export class Counted {
  readonly #bounds: readonly number[];
  /** As many as there are bounds, and one for what is above all of them. */
  readonly #counts: number[];
  #count = 0;
  #sum = 0;

  /** @param bounds upper ends of buckets, ascending */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array(bounds.length + 1).fill(0);
  }

  get count(): number {
    return this.#count;
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > this.#bounds[bucket]!) bucket++;
    this.#counts[bucket]!++;
    this.#count++;
    this.#sum += value;
  }

  get distribution(): Distribution {
    return { count: this.#count, sum: this.#sum, buckets: this.#cumulated((le, count) => ({ le, count })) };
  }

  /** The same of seconds. */
  get times(): Times {
    const buckets = this.#cumulated((seconds, count) => ({ seconds, count }));
    return { count: this.#count, seconds: this.#sum, buckets };
  }

  #cumulated<T>(bucket: (bound: number, count: number) => T): T[] {
    let below = 0;
    return this.#bounds.map((bound, index) => {
      below += this.#counts[index]!;
      return bucket(bound, below);
    });
  }
}
