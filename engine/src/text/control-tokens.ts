import type { Tokenizer } from '@polylora/engine-native';

/** Code units `start` up to but not including `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Not marked as special in every tokenizer, but written so that nobody means it as text. */
const BRACKETED = /^(?:<.+>|\[.+\])$/s;

/**
 * The tokens that mean something to the model other than their text, such as `<|im_end|>`, and where they
 * occur in a text.
 */
export class ControlTokens {
  readonly ids: ReadonlySet<number>;
  readonly #contents: readonly string[];
  /** Matches any of them, the longest first. */
  readonly #pattern: RegExp;
  readonly #prefixes = new Set<string>();
  readonly #suffixes = new Set<string>();
  readonly #longest: number;

  constructor(tokenizer: Tokenizer) {
    // A token of one character cannot be broken.
    const tokens = tokenizer
      .controlTokens()
      .filter(({ special, content }) => (special || BRACKETED.test(content)) && [...content].length > 1);
    this.ids = new Set(tokens.map(({ id }) => id));
    this.#contents = tokens.map(({ content }) => content).sort((a, b) => b.length - a.length);
    this.#longest = this.#contents[0]?.length ?? 0;
    this.#pattern = new RegExp(this.#contents.map(escapeRegExp).join('|') || '(?!)', 'g');
    for (const content of this.#contents) {
      for (let cut = 1; cut < content.length; cut++) {
        this.#prefixes.add(content.slice(0, cut));
        this.#suffixes.add(content.slice(cut));
      }
    }
  }

  /** Those that a tokenizer finds: from left to right, the longest, without overlap. */
  find(text: string): Span[] {
    return [...text.matchAll(this.#pattern)].map(spanOf);
  }

  /** Every place where one begins, with the longest there; they may overlap. */
  findAll(text: string): Span[] {
    const spans: Span[] = [];
    const pattern = new RegExp(this.#pattern);
    for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
      spans.push(spanOf(match));
      pattern.lastIndex = match.index + 1;
    }
    return spans;
  }

  /**
   * The parts of a string that are a control token, or may be part of one once a template has put the
   * string, possibly trimmed, between others.
   */
  findParts(text: string): Span[] {
    const spans = this.findAll(text);
    const begin = text.length - text.trimStart().length;
    const end = text.trimEnd().length;
    if (begin >= end) return spans;
    if (end - begin < this.#longest - 1) {
      const whole = text.slice(begin, end);
      if (this.#contents.some((content) => content.includes(whole))) spans.push({ start: begin, end });
    }
    const reach = Math.min(this.#longest - 1, end - begin);
    for (let length = reach; length > 0; length--) {
      if (!this.#prefixes.has(text.slice(end - length, end))) continue;
      spans.push({ start: end - length, end });
      break;
    }
    for (let length = reach; length > 0; length--) {
      if (!this.#suffixes.has(text.slice(begin, begin + length))) continue;
      spans.push({ start: begin, end: begin + length });
      break;
    }
    return spans;
  }
}

function spanOf(match: RegExpExecArray): Span {
  return { start: match.index, end: match.index + match[0].length };
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
