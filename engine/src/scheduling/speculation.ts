import type { CostModel } from './cost-model.ts';
import type { Sequence } from './sequence.ts';

/** When tokens are drafted: where it pays, never, or after every match whatever it costs (a yardstick). */
export const SPECULATION = ['auto', 'off', 'always'] as const;
export type SpeculationMode = (typeof SPECULATION)[number];

/** Matches foretell tokens from this length on, and are not told apart beyond the longest. As in the kernels. */
export const SHORTEST_MATCH = 2;
export const LONGEST_MATCH = 9;
const LENGTHS = LONGEST_MATCH - SHORTEST_MATCH + 1;

/** The most tokens drafted for a sequence in a step: with the row before them two tiles of the narrowest kernels. */
export const MOST_DRAFTS = 7;
/** A draft must promise so many times what it costs: neither is known exactly. */
const MARGIN = 1.25;
/** Share of a step's time that drafts may add where others decode beside them, who gain nothing by it. */
const MOST_DELAY = 0.25;
/** Weight of a new observation in what is known of a sequence, and of all that have a key in common. */
const OWN_NEWEST = 1 / 8;
const COMMON_NEWEST = 1 / 64;
/** Keys remembered; the one not seen for longest is forgotten. */
const MOST_KEYS = 4096;
/** How often matches of each length foretell rightly, before anything is seen: low, for what they are worth is seen without drafting. */
const FIRST_GUESS = [0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.7, 0.8];

/** What may be drafted in the steps of a run. */
export interface DraftPlan {
  /** For each sequence of the batch, how many tokens after a match of each length, from the shortest to the longest. */
  readonly after: Uint32Array;
  /** In a step, over all sequences. */
  readonly most: number;
}

/** What is known of a sequence's matches. */
interface Known {
  /** For each length, how often they foretold rightly. */
  readonly right: number[];
  /** Tokens that a step brings. */
  pace: number;
}

/**
 * Decides how many tokens are drafted. Every match is watched, drafted for or not: so what it is worth is known for
 * nothing, and a sequence that begins to repeat what it has read is drafted for at once. A draft pays where the token it
 * promises costs less time, as the row that it adds, than the step's other tokens do.
 */
export class Speculation {
  readonly #costs: CostModel;
  readonly #mode: SpeculationMode;
  readonly #ofSequence = new WeakMap<Sequence, Known>();
  /** By length key: the most general one, the adapter. */
  readonly #common = new Map<string, number[]>();

  constructor(mode: SpeculationMode, costs: CostModel) {
    this.#mode = mode;
    this.#costs = costs;
  }

  /** Whether matches are to be watched at all. */
  get watches(): boolean {
    return this.#mode !== 'off';
  }

  /** @param batch that only decodes; null: nothing is to be drafted */
  plan(batch: readonly Sequence[], mostRows: number): DraftPlan | null {
    const room = mostRows - batch.length;
    if (this.#mode === 'off' || batch.length === 0 || room <= 0) return null;
    if (this.#mode === 'always') {
      return { after: new Uint32Array(batch.length * LENGTHS).fill(MOST_DRAFTS), most: room };
    }
    // What a further row costs, in tokens of the step as it is.
    const price = MARGIN * batch.length * this.#costs.rowShare(batch.length);
    if (price >= 1) return null;
    const after = new Uint32Array(batch.length * LENGTHS);
    let slowest = Number.POSITIVE_INFINITY;
    let any = false;
    for (const [index, sequence] of batch.entries()) {
      const { right, pace } = this.#known(sequence);
      slowest = Math.min(slowest, pace);
      for (let length = 0; length < LENGTHS; length++) {
        const most = worthDrafting(right, length, price);
        after[index * LENGTHS + length] = most;
        any ||= most > 0;
      }
    }
    if (!any) return null;
    // Nobody is to decode slower than without drafts by more than the delay, whatever the others gain.
    const delay = (1 + MOST_DELAY) * slowest - 1;
    const most = batch.length === 1 ? MOST_DRAFTS : Math.floor(delay / this.#costs.rowShare(batch.length));
    return most === 0 ? null : { after, most: Math.min(room, most) };
  }

  /** Tokens that a sequence probably gets in so many steps. */
  tokensIn(sequence: Sequence, steps: number): number {
    return this.#mode === 'off' ? steps : Math.ceil(steps * this.#known(sequence).pace);
  }

  /** A step brought a sequence so many tokens. */
  stepped(sequence: Sequence, tokens: number): void {
    if (this.#mode === 'off') return;
    const known = this.#known(sequence);
    known.pace += OWN_NEWEST * (tokens - known.pace);
  }

  /** A token came. @param match length of the match that foretold it, negative where it foretold another; 0: none */
  observe(sequence: Sequence, match: number): void {
    if (match === 0) return;
    const length = Math.min(Math.abs(match), LONGEST_MATCH) - SHORTEST_MATCH;
    const right = match > 0 ? 1 : 0;
    const own = this.#known(sequence).right;
    own[length]! += OWN_NEWEST * (right - own[length]!);
    const common = this.#commonOf(sequence);
    common[length]! += COMMON_NEWEST * (right - common[length]!);
  }

  #known(sequence: Sequence): Known {
    let known = this.#ofSequence.get(sequence);
    if (known === undefined) {
      known = { right: [...this.#commonOf(sequence)], pace: 1 };
      this.#ofSequence.set(sequence, known);
    }
    return known;
  }

  #commonOf({ lengthKeys }: Sequence): number[] {
    const key = lengthKeys.at(-1) ?? '';
    let common = this.#common.get(key);
    if (common !== undefined) {
      this.#common.delete(key);
    } else {
      common = [...FIRST_GUESS];
      if (this.#common.size === MOST_KEYS) this.#common.delete(this.#common.keys().next().value!);
    }
    this.#common.set(key, common);
    return common;
  }
}

/** How many drafts are each right probably enough for what a row costs. A match that holds grows with every token. */
function worthDrafting(right: readonly number[], length: number, price: number): number {
  let probability = 1;
  for (let drafts = 0; drafts < MOST_DRAFTS; drafts++) {
    probability *= right[Math.min(length + drafts, LENGTHS - 1)]!;
    if (probability < price) return drafts;
  }
  return MOST_DRAFTS;
}
