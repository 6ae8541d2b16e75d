/** Text for a terminal: nothing that came over the network moves its cursor or changes its colours. */

/** Control characters, line and paragraph separators, halves of surrogate pairs, and what reverses the direction of text. */
const UNSAFE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
/** The same within JSON, where `JSON.stringify` has escaped the first of them and line feeds are its own. */
const UNSAFE_IN_JSON = /[\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const COLUMN_GAP = '  ';
const UNITS = ['kB', 'MB', 'GB', 'TB'] as const;

/** One line of text, with what a terminal would not show written as `\u001b`. */
export function printable(text: string): string {
  return text.replace(UNSAFE, escaped);
}

/** Text of several lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** JSON for people and programs: still the same value to a parser, and harmless to a terminal. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(UNSAFE_IN_JSON, escaped);
}

/** Columns as wide as their longest cell; the last one ends where its text does. Every line ends with a line feed. */
export function table(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of cells) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  const lines = cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)));
  return lines.map((line) => `${line.join(COLUMN_GAP).trimEnd()}\n`).join('');
}

/** Bytes in decimal units, as disks are sold: `1.9 MB`. */
export function byteText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes;
  let unit: string = 'B';
  for (const larger of UNITS) {
    // What would be rounded to 1000 is 1.0 of the next unit.
    if (value < 999.95) break;
    value /= 1000;
    unit = larger;
  }
  return `${value.toFixed(1)} ${unit}`;
}

/** A time in UTC, to the second; what is no time is said to be none. */
export function timeText(milliseconds: number): string {
  const date = new Date(milliseconds);
  return Number.isNaN(date.getTime()) ? 'unknown' : `${date.toISOString().slice(0, 19)}Z`;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
