import type { Embedder } from '@polylora/engine';
import type { Logger } from '../../logging.ts';
import type { Hit } from '../answer-cache.ts';
import type { CategoryTable } from '../categories/category-table.ts';
import type { StoredAnswer } from '../entry.ts';
import { dot } from '../vector.ts';
import { type Estimate, FalseHits } from './false-hits.ts';

export interface QualityLoopOptions {
  readonly categories: CategoryTable;
  readonly embedder: Embedder;
  readonly logger: Logger;
  /** In [0, 1): which hits are looked at. */
  readonly random?: () => number;
}

/** Answers less alike than this do not say the same. */
const SAME_ANSWER = 0.75;
/** Checks that wait or run; more hits are not looked at. */
const MOST_CHECKS = 4;
/** What a threshold is moved by: up where too many are wrong, down where few are. */
const STEP_UP = 0.01;
const STEP_DOWN = 0.005;
/** How far it may be moved from what the configuration says. */
const MOST_UP = 0.1;
const MOST_DOWN = 0.05;
/** Checks without which nothing is moved down. */
const LEAST_CHECKS = 50;

/**
 * Finds out how often answers to similar questions are wrong: the answers to some of them are made anew, when nobody waits for anything,
 * and compared. Where a category tunes itself its threshold follows.
 */
export class QualityLoop {
  readonly #options: QualityLoopOptions;
  /** By category: what was found, and what of it counts for the next move of the threshold. */
  readonly #found = new Map<string, FalseHits>();
  readonly #sinceMoved = new Map<string, FalseHits>();
  #checks = 0;

  constructor(options: QualityLoopOptions) {
    this.#options = options;
  }

  /** An answer was given to a question that was only similar. Never throws, and nobody waits for it. */
  offer(hit: Hit, remake: () => Promise<StoredAnswer | null>): void {
    const { categories, random = Math.random, logger } = this.#options;
    const { checkedShare } = categories.get(hit.entry.category);
    if (this.#checks >= MOST_CHECKS || random() >= checkedShare) return;
    this.#checks += 1;
    this.#check(hit, remake)
      .catch((error: unknown) => logger.debug({ err: error }, 'a hit could not be checked'))
      .finally(() => {
        this.#checks -= 1;
      });
  }

  /** Of a sample that nobody has chosen: what users report is counted apart, as it is always wrong, and would say nothing of a share. */
  estimate(category: string): Estimate {
    return foundIn(this.#found, category).estimate;
  }

  async #check({ entry, answer }: Hit, remake: () => Promise<StoredAnswer | null>): Promise<void> {
    const anew = await remake();
    if (anew === null) return;
    this.#add(entry.category, !(await this.#isSame(answer, anew)));
  }

  #add(category: string, isWrong: boolean): void {
    foundIn(this.#found, category).add(isWrong);
    foundIn(this.#sinceMoved, category).add(isWrong);
    if (this.#options.categories.get(category).autoTune) this.#tune(category);
  }

  /** Up as soon as it is sure that too many are wrong, down when it is sure that they are not. */
  #tune(category: string): void {
    const { categories } = this.#options;
    const { targetFalseHitRate: target } = categories.get(category);
    const found = foundIn(this.#sinceMoved, category);
    const { low, high, checked } = found.estimate;
    const { thresholdOffset: offset } = categories.adjustment(category);
    if (low > target && offset < MOST_UP) {
      categories.adjust(category, { thresholdOffset: Math.min(MOST_UP, offset + STEP_UP) });
      found.discount();
    } else if (high < target && checked >= LEAST_CHECKS && offset > -MOST_DOWN) {
      categories.adjust(category, { thresholdOffset: Math.max(-MOST_DOWN, offset - STEP_DOWN) });
      found.discount();
    }
  }

  async #isSame(a: StoredAnswer, b: StoredAnswer): Promise<boolean> {
    const [left, right] = [textOf(a), textOf(b)];
    if (left === right) return true;
    if (left === '' || right === '') return false;
    const asked = { inputs: [left, right], truncate: 'model', background: true } as const;
    const [first, second] = await this.#options.embedder.embed(asked);
    return dot(first!.vector, second!.vector) >= SAME_ANSWER;
  }
}

function foundIn(all: Map<string, FalseHits>, category: string): FalseHits {
  const known = all.get(category);
  if (known !== undefined) return known;
  const found = new FalseHits();
  all.set(category, found);
  return found;
}

/** All that an answer says. */
function textOf({ choices }: StoredAnswer): string {
  return choices
    .map(({ text, toolCalls }) =>
      [text.trim(), ...toolCalls.map(({ name, arguments: args }) => `${name} ${args}`)].join('\n'),
    )
    .join('\n');
}
