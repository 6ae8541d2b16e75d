/** An estimated share, with the ends of its interval. */
export interface Estimate {
  readonly rate: number;
  readonly low: number;
  readonly high: number;
  /** Hits that were looked at. */
  readonly checked: number;
}

/** Of 95 %. */
const Z = 1.96;
/** Older checks count less: thresholds and what is asked change. Half of it after so many newer ones. */
const HALF_LIFE_CHECKS = 200;

/** How many of the hits that were looked at were wrong, lately. */
export class FalseHits {
  #checked = 0;
  #wrong = 0;

  add(isWrong: boolean): void {
    const keep = 0.5 ** (1 / HALF_LIFE_CHECKS);
    this.#checked = this.#checked * keep + 1;
    this.#wrong = this.#wrong * keep + (isWrong ? 1 : 0);
  }

  /** What was found under other rules says little about the new ones. */
  discount(): void {
    this.#checked /= 2;
    this.#wrong /= 2;
  }

  /** Wilson's interval, which holds for few checks and for rates near 0 as well. */
  get estimate(): Estimate {
    const n = this.#checked;
    if (n === 0) return { rate: 0, low: 0, high: 1, checked: 0 };
    const p = this.#wrong / n;
    const z2 = Z * Z;
    const middle = (p + z2 / (2 * n)) / (1 + z2 / n);
    const half = (Z / (1 + z2 / n)) * Math.sqrt((p * (1 - p)) / n + z2 / (4 * n * n));
    return { rate: p, low: Math.max(0, middle - half), high: Math.min(1, middle + half), checked: n };
  }
}
