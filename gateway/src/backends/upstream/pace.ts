import type { BackendModel } from '../backend.ts';

/** What is taken for one answer before any has come: slower than most servers are. */
const FIRST = { tokens: 20, seconds: 1 };
/** What is left of what was seen when another answer comes. */
const KEPT = 7 / 8;
/** Base models that are told apart; more have the first answer's pace again. */
const MOST_MODELS = 1_000;

/** How fast an upstream's whole answers come, with all that they wait for there. */
export class Pace {
  readonly #seen = new Map<string, { tokens: number; seconds: number }>();

  /** An answer of so many tokens took so long. */
  see(model: BackendModel, tokens: number, seconds: number): void {
    const seen = this.#of(model);
    if (this.#seen.size >= MOST_MODELS) this.#seen.clear();
    this.#seen.set(baseOf(model), {
      tokens: KEPT * seen.tokens + tokens,
      seconds: KEPT * seen.seconds + seconds,
    });
  }

  /** How many tokens an answer probably has after so long. */
  tokensIn(model: BackendModel, seconds: number): number {
    const seen = this.#of(model);
    return Math.round((seconds * seen.tokens) / seen.seconds);
  }

  #of(model: BackendModel): { readonly tokens: number; readonly seconds: number } {
    return this.#seen.get(baseOf(model)) ?? FIRST;
  }
}

/** Adapters are as fast as their base. */
function baseOf({ id, parent }: BackendModel): string {
  return parent ?? id;
}
