/** Numbers that are the same for the same seed (mulberry32), in the distributions that traces need. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed, 0x9e37_79b9) >>> 0;
  }

  /** From 0 up to 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b_79f5) >>> 0;
    let bits = this.#state;
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  }

  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  /** Time between events that know nothing of each other. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next());
  }

  /** A whole number, at least 1; half are below the median, and `spread` is the logarithm's standard deviation. */
  logNormal({ median, spread, most }: LogNormal): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next());
    return Math.max(1, Math.min(most, Math.round(median * Math.exp(spread * normal))));
  }
}

export interface LogNormal {
  readonly median: number;
  readonly spread: number;
  readonly most: number;
}

/** Draws numbers from 0 up to `count`, the n-th 1/n^exponent times as often as the first. */
export class Zipf {
  readonly #ends: Float64Array;

  constructor(count: number, exponent: number) {
    this.#ends = new Float64Array(count);
    let total = 0;
    for (let index = 0; index < count; index++) this.#ends[index] = total += (index + 1) ** -exponent;
  }

  draw(random: Random): number {
    const place = random.next() * (this.#ends.at(-1) ?? 0);
    let [low, high] = [0, this.#ends.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ends[middle]! > place) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
