import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteText, printable, printableJson, printableLines, table, timeText } from './text.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: it is them that must not come through
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

describe('text for a terminal', () => {
  it('holds no control characters', () => {
    expect(printable('a\u001b[2Jb\r\n\u009bc\u202ed')).toBe('a\\u001b[2Jb\\u000d\\u000a\\u009bc\\u202ed');
    expect(printable('crème 🏴‍☠️ 東京')).toBe('crème 🏴‍☠️ 東京');
    expect(printableLines('one\ntwo\u0007')).toBe('one\ntwo\\u0007');
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !CONTROL.test(printable(text))));
  });

  it('is the same JSON to a parser', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const text = printableJson(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        return !CONTROL.test(text.replaceAll('\n', ''));
      }),
    );
  });
});

describe('table', () => {
  it('has columns as wide as their longest cell, and no blanks at the ends of lines', () => {
    const rows = [
      ['NAME', 'OWNER'],
      ['acme/support', 'operator'],
      ['a', ''],
    ];
    expect(table(rows)).toBe('NAME          OWNER\nacme/support  operator\na\n');
    expect(table([])).toBe('');
  });

  it('measures what it shows', () => {
    expect(
      table([
        ['\u0007', 'x'],
        ['ab', 'y'],
      ]),
    ).toBe('\\u0007  x\nab      y\n');
  });
});

describe('byteText and timeText', () => {
  it('are short', () => {
    expect([0, 999, 1000, 1_874_312, 999_949, 999_950, 5e9, 3e15].map(byteText)).toEqual([
      '0 B',
      '999 B',
      '1.0 kB',
      '1.9 MB',
      '999.9 kB',
      '1.0 MB',
      '5.0 GB',
      '3000.0 TB',
    ]);
    expect(timeText(1_700_000_000_500)).toBe('2023-11-14T22:13:20Z');
    expect(timeText(1e300)).toBe('unknown');
  });
});
