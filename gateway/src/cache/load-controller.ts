import type { CategoryTable } from './categories/category-table.ts';

export interface LoadControllerOptions {
  readonly categories: CategoryTable;
  /** Milliseconds that requests may wait for the backend to begin. Asked each time: it may change. */
  readonly targetMilliseconds: () => number;
  /** Milliseconds, steady. */
  readonly now: () => number;
}

/** Of the older waits that count, half are younger than this. */
const HALF_LIFE_MILLISECONDS = 2_000;
/** Below this part of the target what was given is taken back; in between all stays as it is. */
const CALM = 0.6;
/** All of the way, in seconds, at twice the target; and back. */
const SECONDS_UP = 2;
const SECONDS_DOWN = 10;

/**
 * Watches how long requests wait for the backend to begin with them, those that still wait as well. Above the target the categories
 * that allow it go towards their bounds, the faster the more it is; below it they come back slowly.
 */
export class LoadController {
  readonly #options: LoadControllerOptions;
  /** When each that has not begun was sent. */
  readonly #waiting = new Map<symbol, number>();
  #average = 0;
  #averagedAt: number;
  #relaxation = 0;
  #steppedAt: number;

  constructor(options: LoadControllerOptions) {
    this.#options = options;
    this.#averagedAt = options.now();
    this.#steppedAt = options.now();
  }

  /** How far categories have gone towards their bounds, from 0 to 1. */
  get relaxation(): number {
    return this.#relaxation;
  }

  /** What requests wait, in milliseconds: on average lately, or the oldest of those that have not begun. */
  get waitMilliseconds(): number {
    const now = this.#options.now();
    const [oldest = now] = this.#waiting.values();
    return Math.max(this.#averageAt(now), now - oldest);
  }

  /** A request is sent. @returns what to call when it has begun, or has come to nothing */
  sent(): (hasBegun: boolean) => void {
    const key = Symbol('request');
    const started = this.#options.now();
    this.#waiting.set(key, started);
    return (hasBegun) => {
      if (!this.#waiting.delete(key) || !hasBegun) return;
      const now = this.#options.now();
      // The more come in a time the less each counts, but never less than a tenth.
      this.#average += Math.max(0.1, 1 - this.#decay(now)) * (now - started - this.#average);
      this.#averagedAt = now;
    };
  }

  /** To be called several times a second. */
  step(): void {
    const { categories, targetMilliseconds, now } = this.#options;
    const time = now();
    const seconds = Math.min(1, (time - this.#steppedAt) / 1000);
    this.#steppedAt = time;
    const load = this.waitMilliseconds / targetMilliseconds();
    const before = this.#relaxation;
    if (load > 1) this.#relaxation += (Math.min(load - 1, 1) * seconds) / SECONDS_UP;
    else if (load < CALM) this.#relaxation -= seconds / SECONDS_DOWN;
    this.#relaxation = Math.min(1, Math.max(0, this.#relaxation));
    if (this.#relaxation === before) return;
    for (const { name, adaptive } of categories.all()) {
      if (adaptive !== null) categories.adjust(name, { relaxation: this.#relaxation });
    }
  }

  /** An average that nothing is added to is forgotten: nobody waits. */
  #averageAt(now: number): number {
    return this.#average * this.#decay(now);
  }

  #decay(now: number): number {
    return 0.5 ** ((now - this.#averagedAt) / HALF_LIFE_MILLISECONDS);
  }
}
