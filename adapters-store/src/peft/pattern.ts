import { RE2JS, RE2JSException } from 're2js';

const LONGEST_PATTERN = 512;
/**
 * Most that all patterns of one configuration may cost together, in RE2 instructions. Matching takes time in
 * proportion to the instructions for each of a model's modules: this keeps it to about a second.
 */
const MAX_COST = 60_000;
/** Names with dots and anchors run a few instructions at a time; anything else may run all of them at once. */
const PLAIN = /^\^?[\w.-]*\$?$/;
const COMPLEX_FACTOR = 10;
/** Python reads these in another way than RE2 does, so they are refused rather than misread. */
const READ_DIFFERENTLY = /\{,\d*\}|\[\[:/;

/** A pattern that cannot be used; the message says why, without naming the option. */
export class PatternError extends Error {
  override readonly name = 'PatternError';
}

/**
 * Compiles the regular expressions of one configuration. They come with the adapter, so they run on RE2, in
 * linear time, and under one budget.
 */
export class PatternCompiler {
  #cost = 0;

  /**
   * @param pattern as it stands in the configuration
   * @param wrap what PEFT puts around it
   * @throws PatternError where it is not valid, not supported by RE2, or too costly
   */
  compile(pattern: string, wrap: (pattern: string) => string): RE2JS {
    if (pattern.length > LONGEST_PATTERN) {
      throw new PatternError(
        `a pattern has ${pattern.length} characters, at most ${LONGEST_PATTERN} are allowed`,
      );
    }
    const unread = READ_DIFFERENTLY.exec(pattern)?.[0];
    if (unread !== undefined)
      throw new PatternError(`${unread} is not supported in the pattern ${JSON.stringify(pattern)}`);
    let compiled: RE2JS;
    try {
      compiled = RE2JS.compile(wrap(pattern));
    } catch (cause) {
      if (!(cause instanceof RE2JSException)) throw cause;
      const advice =
        'patterns use RE2 syntax, without lookaround, back-references and \\Z; list names instead';
      const problem = `is not a supported regular expression (${cause.message})`;
      throw new PatternError(`${JSON.stringify(pattern)} ${problem}: ${advice}`, { cause });
    }
    this.#cost += compiled.programSize() * (PLAIN.test(pattern) ? 1 : COMPLEX_FACTOR);
    if (this.#cost > MAX_COST)
      throw new PatternError('its patterns are too many or too complex; list names instead');
    return compiled;
  }
}

/** Python's `re.match`: whether the pattern matches at the start of a text, not necessarily to its end. */
export function matchesStart(pattern: RE2JS, text: string): boolean {
  return pattern.matcher(text).lookingAt();
}
