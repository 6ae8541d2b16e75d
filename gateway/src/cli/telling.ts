import type { Invocation } from './arguments.ts';
import { printableJson, printableLines } from './text.ts';

/** What is printed: JSON where that was asked for, or else words. */
export type Telling = (json: unknown, words: () => string) => string;

export function tellingOf({ has }: Invocation): Telling {
  const asJson = has('json');
  return (json, words) => (asJson ? `${printableJson(json)}\n` : printableLines(words()));
}
