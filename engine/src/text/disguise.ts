import { EngineError } from '../types.ts';
import type { Span } from './control-tokens.ts';

const PRIVATE_USE = /[\uE000-\uF8FF]/g;
const FIRST_PRIVATE_USE = 0xe000;
const LAST_PRIVATE_USE = 0xf8ff;

/**
 * Writes characters of the caller's strings as characters that occur nowhere else (of Unicode's private-use
 * area), so that they can be told from the template's own after rendering. One character stands for one
 * character and white space stays, so templates that trim or split lines do what they always do.
 */
export class Disguise {
  readonly #taken: ReadonlySet<string>;
  readonly #masks = new Map<string, string>();
  readonly #characters = new Map<string, string>();
  #next = FIRST_PRIVATE_USE;

  /** @param texts everything that may occur in the rendered text. */
  constructor(texts: Iterable<string>) {
    const taken = new Set<string>();
    for (const text of texts) {
      for (const [character] of text.matchAll(PRIVATE_USE)) taken.add(character);
    }
    this.#taken = taken;
  }

  /** The text with the characters in `spans` disguised. */
  hide(text: string, spans: readonly Span[]): string {
    let hidden = '';
    let from = 0;
    for (const { start, end } of [...spans].sort((a, b) => a.start - b.start)) {
      if (end <= from) continue;
      const begin = Math.max(start, from);
      hidden += text.slice(from, begin);
      for (const character of text.slice(begin, end)) hidden += this.#maskOf(character);
      from = end;
    }
    return hidden + text.slice(from);
  }

  /** The text with its characters as they were, and the places of those that were disguised. */
  reveal(hidden: string): { text: string; places: ReadonlySet<number> } {
    const places = new Set<number>();
    let text = '';
    for (const character of hidden) {
      const original = this.#characters.get(character);
      if (original !== undefined) places.add(text.length);
      text += original ?? character;
    }
    return { text, places };
  }

  #maskOf(character: string): string {
    if (/\s/.test(character)) return character;
    let mask = this.#masks.get(character);
    if (mask === undefined) {
      mask = this.#nextFree();
      this.#masks.set(character, mask);
      this.#characters.set(mask, character);
    }
    return mask;
  }

  #nextFree(): string {
    while (this.#next <= LAST_PRIVATE_USE) {
      const character = String.fromCharCode(this.#next++);
      if (!this.#taken.has(character)) return character;
    }
    throw new EngineError(
      'invalid_prompt',
      'The messages hold text of control tokens and every private-use character (U+E000 to U+F8FF); remove some of them.',
    );
  }
}
