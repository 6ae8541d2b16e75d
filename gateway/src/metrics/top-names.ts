/**
 * Names with series of their own. Names come from outside and series cost memory everywhere, so that only the most active have theirs;
 * the others are counted together. One that has become more active than one that has its own takes its place, and its counters begin
 * at 0: what it did before is with the others, whose counters only grow.
 */

/** What all without series of their own are called; a tenant or an adapter of that name is counted with them. */
export const OTHER = 'other';

/** After which time activity counts half. */
const HALF_LIFE_MILLISECONDS = 10 * 60_000;
/** At most so often a name takes another's place: each new series costs whoever stores it. */
const SWAP_MILLISECONDS = 10_000;
/** How much more active a name has to be than the one whose place it takes. */
const MARGIN = 2;
/** Scores grow with the time instead of being aged; from here on they are made small again. */
const LARGEST_FACTOR = 2 ** 40;

export interface TopNamesOptions {
  /** Names with series of their own. */
  readonly most: number;
  /** Milliseconds, steady. */
  readonly now: () => number;
  /** Takes out a name's series. */
  readonly onRemoved: (name: string) => void;
}

export class TopNames {
  readonly #options: TopNamesOptions;
  /** Score by name, of those that have series. */
  readonly #own = new Map<string, number>();
  /** Of as many of the others; the least active makes place for a new one, which may have been as active as that before. */
  readonly #others = new Map<string, number>();
  /** What of their scores may be others'. */
  readonly #inherited = new Map<string, number>();
  #began: number;
  #swappedAt = Number.NEGATIVE_INFINITY;

  constructor(options: TopNamesOptions) {
    this.#options = options;
    this.#began = options.now();
  }

  /** Counts a name's activity. @returns what it is called in series from now on */
  label(name: string, weight = 1): string {
    const now = this.#options.now();
    const score = weight * this.#factor(now);
    const own = this.#own.get(name);
    if (own !== undefined) {
      this.#own.set(name, own + score);
      return name;
    }
    if (this.#own.size < this.#options.most) {
      this.#own.set(name, score);
      return name;
    }
    const reached = this.#count(name, score);
    return this.#takesPlace(name, reached, now) ? name : OTHER;
  }

  /** What a name is called, without counting it; where there is room for its series it has them from now on. */
  peek(name: string): string {
    if (this.#own.has(name)) return name;
    if (this.#own.size >= this.#options.most) return OTHER;
    this.#own.set(name, 0);
    return name;
  }

  /** @returns what it has reached by itself, at least */
  #count(name: string, score: number): number {
    if (!this.#others.has(name) && this.#others.size >= this.#options.most) {
      const [least, reached] = leastOf(this.#others);
      this.#others.delete(least);
      this.#inherited.delete(least);
      this.#others.set(name, reached);
      this.#inherited.set(name, reached);
    }
    const reached = (this.#others.get(name) ?? 0) + score;
    this.#others.set(name, reached);
    return reached - (this.#inherited.get(name) ?? 0);
  }

  #takesPlace(name: string, score: number, now: number): boolean {
    if (now < this.#swappedAt + SWAP_MILLISECONDS) return false;
    const [least, leastScore] = leastOf(this.#own);
    if (score < leastScore * MARGIN) return false;
    this.#swappedAt = now;
    this.#own.delete(least);
    this.#others.delete(name);
    this.#inherited.delete(name);
    this.#own.set(name, score);
    this.#options.onRemoved(least);
    return true;
  }

  #factor(now: number): number {
    const factor = 2 ** ((now - this.#began) / HALF_LIFE_MILLISECONDS);
    if (factor < LARGEST_FACTOR) return factor;
    for (const scores of [this.#own, this.#others, this.#inherited])
      for (const [name, score] of scores) scores.set(name, score / factor);
    this.#began = now;
    return 1;
  }
}

function leastOf(scores: ReadonlyMap<string, number>): [name: string, score: number] {
  let least: [string, number] = ['', Number.POSITIVE_INFINITY];
  for (const entry of scores) if (entry[1] < least[1]) least = entry;
  return least;
}
