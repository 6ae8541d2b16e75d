import { printableLines } from './text.ts';

/** What comes after a name's first release, so that nobody wonders why it is not found. */
export function grantHint(name: string): string {
  return printableLines(
    `Where it has no grant yet, nobody may use it: polylora adapters grant ${name} --tenant <id>, or --tenant '*'.\n`,
  );
}
