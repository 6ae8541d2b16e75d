import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StopStrings } from './stop-strings.ts';

interface Outcome {
  text: string;
  matched: string | null;
}

function run(stops: readonly string[], include: boolean, pieces: readonly string[]): Outcome {
  const matcher = new StopStrings(stops, include);
  let text = '';
  for (const piece of pieces) {
    const result = matcher.push(piece);
    text += result.text;
    if (result.matched !== null) return { text, matched: result.matched };
  }
  return { text: text + matcher.flush(), matched: null };
}

/** The definition, on the whole text: the stop string that ends first, of several the longest. */
function define(stops: readonly string[], include: boolean, text: string): Outcome {
  for (let end = 1; end <= text.length; end++) {
    const ending = stops.filter((stop) => stop !== '' && text.slice(0, end).endsWith(stop));
    const matched = ending.sort((a, b) => b.length - a.length)[0];
    if (matched !== undefined) {
      return { text: text.slice(0, include ? end : end - matched.length), matched };
    }
  }
  return { text, matched: null };
}

describe('StopStrings', () => {
  it('finds a stop string across pieces and leaves it out', () => {
    expect(run(['\n\nUser:'], false, ['Hello.\n', '\nUs', 'er: more'])).toEqual({
      text: 'Hello.',
      matched: '\n\nUser:',
    });
  });

  it('leaves it in when asked to', () => {
    expect(run(['END'], true, ['a E', 'ND b'])).toEqual({ text: 'a END', matched: 'END' });
  });

  it('holds back only what may become a stop string', () => {
    const matcher = new StopStrings(['abab!'], false);
    expect(matcher.push('xxabab').text).toBe('xx');
    expect(matcher.push('ab').text).toBe('ab');
    expect(matcher.push('?').text).toBe('abab?');
    expect(matcher.push('aba').text).toBe('');
    expect(matcher.flush()).toBe('aba');
  });

  it('gives nothing more after a match', () => {
    const matcher = new StopStrings(['.'], false);
    expect(matcher.push('a.b')).toEqual({ text: 'a', matched: '.' });
    expect(matcher.push('c.d')).toEqual({ text: '', matched: '.' });
    expect(matcher.flush()).toBe('');
  });

  it('passes over stop strings that end in a piece that does not count', () => {
    const matcher = new StopStrings(['abab'], false);
    expect(matcher.push('xabab', false)).toEqual({ text: 'xab', matched: null });
    expect(matcher.push('ab')).toEqual({ text: '', matched: 'abab' });
  });

  it('never cuts a character in two', () => {
    // U+1F600 and U+1F601 share their first code unit; half of one is no stop string.
    const matcher = new StopStrings(['\u{1f601}', '\ud83d', '\ude00'], false);
    expect(matcher.push('\u{1f600}')).toEqual({ text: '\u{1f600}', matched: null });
    expect(matcher.push('\u{1f601}')).toEqual({ text: '', matched: '\u{1f601}' });
  });

  it('ignores an empty stop string', () => {
    expect(run([''], false, ['abc'])).toEqual({ text: 'abc', matched: null });
  });

  it('gives the same however the text is cut', () => {
    const letters = fc.stringMatching(/^[ab\n]{0,8}$/);
    fc.assert(
      fc.property(
        fc.array(letters, { maxLength: 5 }),
        fc.boolean(),
        fc.array(letters),
        (stops, include, pieces) => {
          expect(run(stops, include, pieces)).toEqual(define(stops, include, pieces.join('')));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('takes time in proportion to the text, however repetitive the stop string', () => {
    const matcher = new StopStrings([`${'a'.repeat(10_000)}b`], false);
    const began = performance.now();
    for (let i = 0; i < 200_000; i++) matcher.push('a');
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});
