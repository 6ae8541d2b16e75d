import type { CategoryTable } from './categories/category-table.ts';

export interface LoadControllerOptions {
  readonly categories: CategoryTable;
  /** Milliseconds that requests may wait for the backend to begin. Asked each time: it may change. */
  readonly targetMilliseconds: () => number;
  /** Milliseconds, steady. */
  readonly now: () => number;
}

/** What a request takes of the backend. */
export interface Work {
  /** Those that have to be read. */
  readonly promptTokens: number;
  /** The longest of its choices, which are made at the same time. */
  readonly completionTokens: number;
}

/** A request that was sent to the backend. */
export interface SentRequest {
  /** The first of its answer is there. Not told of what comes whole. */
  begun(): void;
  /** All of it is there. @param queuedMilliseconds as the backend tells it; null: it does not */
  ended(work: Work, queuedMilliseconds: number | null): void;
  failed(): void;
}

interface Waiting {
  readonly sentAt: number;
  /** What it takes until something of it is seen, in tokens of an answer. */
  readonly work: number;
}

/** Of the older waits that count, half are younger than this. */
const HALF_LIFE_MILLISECONDS = 2_000;
/** Below this part of the target what was given is taken back; in between all stays as it is. */
const CALM = 0.6;
/** All of the way, in seconds, at twice the target; and back. */
const SECONDS_UP = 2;
const SECONDS_DOWN = 10;
/** A prompt's tokens are read together, an answer's are made one by one: so many take as long as one, about. */
const PROMPT_TOKENS = 16;
/** How much longer than by itself an answer takes beside others in a batch that is full and well: what is beyond was waiting. */
const BESIDE_OTHERS = 4;
/** Milliseconds for a token before any answer has come: slower than most backends are. */
const FIRST_PACE = 50;
const FASTEST_PACE = 0.01;
/** The fastest that was seen is taken for half as fast after so long: the backend may have become slower. */
const PACE_HALF_LIFE_MILLISECONDS = 10 * 60_000;

/**
 * Watches how long requests wait for the backend to begin with them, those that still wait as well. Above the target the categories
 * that allow it go towards their bounds, the faster the more it is; below it they come back slowly.
 *
 * How long a request waited is what its answer took beyond what such an answer takes: by the fastest that was seen lately, for each token,
 * and some more for what runs beside it; or how long it was queued, which the embedded engine tells, where that was longer.
 */
export class LoadController {
  readonly #options: LoadControllerOptions;
  /** Those of which nothing is seen yet. */
  readonly #waiting = new Set<Waiting>();
  /** Milliseconds for a token of an answer, at the fastest, and when that was seen; null: nothing was. */
  #pace: { readonly milliseconds: number; readonly at: number } | null = null;
  #average = 0;
  #averagedAt: number;
  #relaxation = 0;
  #steppedAt: number;

  constructor(options: LoadControllerOptions) {
    this.#options = options;
    const now = options.now();
    this.#averagedAt = now;
    this.#steppedAt = now;
  }

  /** How far categories have gone towards their bounds, from 0 to 1. */
  get relaxation(): number {
    return this.#relaxation;
  }

  /** What requests wait, in milliseconds: on average lately, or the longest of those of which nothing is seen yet. */
  get waitMilliseconds(): number {
    const now = this.#options.now();
    let most = this.#averageAt(now);
    for (const { sentAt, work } of this.#waiting)
      most = Math.max(most, this.#beyond(now - sentAt, work, now));
    return most;
  }

  /** A request is sent that somebody waits for. @param most what it takes until something of it is seen, at most */
  sent(most: Work): SentRequest {
    const { now } = this.#options;
    const sentAt = now();
    const waiting = { sentAt, work: tokensOf(most) };
    this.#waiting.add(waiting);
    let begunAt: number | null = null;
    return {
      begun: () => {
        if (this.#waiting.delete(waiting)) begunAt = now();
      },
      ended: (work, queuedMilliseconds) => {
        this.#waiting.delete(waiting);
        const endedAt = now();
        this.#see(endedAt - sentAt - (queuedMilliseconds ?? 0), tokensOf(work), endedAt);
        const wait =
          queuedMilliseconds === null
            ? this.#beyondSeen(sentAt, begunAt, endedAt, work)
            : // An engine that lets many in at once has no queue: there it shows in how long each takes.
              Math.max(queuedMilliseconds, this.#beyond(endedAt - sentAt, tokensOf(work), endedAt));
        this.#add(wait, endedAt);
      },
      failed: () => this.#waiting.delete(waiting),
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

  #add(wait: number, now: number): void {
    // The more come in a time the less each counts, but never less than a tenth.
    this.#average += Math.max(0.1, 1 - this.#decay(now)) * (wait - this.#average);
    this.#averagedAt = now;
  }

  /** An average that nothing is added to is forgotten: nobody waits. */
  #averageAt(now: number): number {
    return this.#average * this.#decay(now);
  }

  #decay(now: number): number {
    return 0.5 ** ((now - this.#averagedAt) / HALF_LIFE_MILLISECONDS);
  }

  #see(elapsed: number, tokens: number, at: number): void {
    const milliseconds = Math.max(FASTEST_PACE, elapsed / tokens);
    if (this.#pace === null || milliseconds < this.#paceAt(at)) this.#pace = { milliseconds, at };
  }

  #paceAt(now: number): number {
    if (this.#pace === null) return FIRST_PACE;
    const { milliseconds, at } = this.#pace;
    return milliseconds * 2 ** ((now - at) / PACE_HALF_LIFE_MILLISECONDS);
  }

  /** Until something was seen of it, or all of what comes whole. */
  #beyondSeen(sentAt: number, begunAt: number | null, endedAt: number, work: Work): number {
    if (begunAt === null) return this.#beyond(endedAt - sentAt, tokensOf(work), endedAt);
    return this.#beyond(begunAt - sentAt, tokensOf({ ...work, completionTokens: 0 }), endedAt);
  }

  /** What of some milliseconds was more than so many tokens take. */
  #beyond(milliseconds: number, tokens: number, now: number): number {
    return Math.max(0, milliseconds - BESIDE_OTHERS * this.#paceAt(now) * tokens);
  }
}

/** Work as tokens of an answer, one at the least. */
function tokensOf({ promptTokens, completionTokens }: Work): number {
  return Math.max(1, completionTokens + promptTokens / PROMPT_TOKENS);
}
