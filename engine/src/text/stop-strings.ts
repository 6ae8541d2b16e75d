export interface StopResult {
  /** Text that can be given out. */
  readonly text: string;
  /** The stop string that ended the text, or null. */
  readonly matched: string | null;
}

/**
 * Finds stop strings in a text that comes in pieces. The one that ends first wins, of several that end at the
 * same place the longest, however the text is cut. Text that may yet turn out to be the start of a stop string
 * is held back. Each character costs amortised constant time per stop string (Knuth, Morris and Pratt).
 */
export class StopStrings {
  readonly #matchers: readonly Matcher[];
  readonly #include: boolean;
  #held = '';
  #matched: string | null = null;

  /** @param include whether the text ends after the stop string rather than before it. */
  constructor(stops: readonly string[], include: boolean) {
    // Half a surrogate pair never occurs in well-formed text; looking for one would cut characters in two.
    const possible = stops.filter((stop) => stop !== '' && !/\p{Surrogate}/u.test(stop));
    this.#matchers = possible.map((stop) => new Matcher(stop));
    this.#include = include;
  }

  /**
   * After a match, no more text comes out.
   *
   * @param accept whether a stop string that ends in this piece counts; where it begins does not matter.
   */
  push(piece: string, accept = true): StopResult {
    if (this.#matched !== null) return { text: '', matched: this.#matched };
    const text = this.#held + piece;
    for (let at = this.#held.length; at < text.length; at++) {
      const matched = this.#advance(text.charCodeAt(at));
      if (matched === null || !accept) continue;
      this.#matched = matched;
      this.#held = '';
      const end = at + 1;
      return { text: text.slice(0, this.#include ? end : end - matched.length), matched };
    }
    const longest = this.#matchers.reduce((most, { state }) => Math.max(most, state), 0);
    const free = text.length - longest;
    this.#held = text.slice(free);
    return { text: text.slice(0, free), matched: null };
  }

  /** The text held back, when nothing more comes. */
  flush(): string {
    const rest = this.#held;
    this.#held = '';
    for (const matcher of this.#matchers) matcher.state = 0;
    return rest;
  }

  /** The longest stop string that ends with this character. */
  #advance(unit: number): string | null {
    let longest: string | null = null;
    for (const matcher of this.#matchers) {
      if (matcher.advance(unit) && matcher.stop.length > (longest?.length ?? 0)) longest = matcher.stop;
    }
    return longest;
  }
}

class Matcher {
  readonly stop: string;
  /** How much of the stop string the text so far ends with, less than all of it. */
  state = 0;
  /** For each length of a matched prefix, the longest shorter one that it ends with. */
  readonly #fallback: Uint32Array;

  constructor(stop: string) {
    this.stop = stop;
    this.#fallback = new Uint32Array(stop.length + 1);
    let length = 0;
    for (let at = 1; at < stop.length; at++) {
      while (length > 0 && stop[at] !== stop[length]) length = this.#fallback[length]!;
      if (stop[at] === stop[length]) length++;
      this.#fallback[at + 1] = length;
    }
  }

  /** Takes a code unit; true when the stop string ends with it. */
  advance(unit: number): boolean {
    while (this.state > 0 && this.stop.charCodeAt(this.state) !== unit) {
      this.state = this.#fallback[this.state]!;
    }
    if (this.stop.charCodeAt(this.state) === unit) this.state++;
    if (this.state < this.stop.length) return false;
    this.state = this.#fallback[this.state]!;
    return true;
  }
}
