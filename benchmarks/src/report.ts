import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatMachine, thisMachine } from './machine.ts';
import { RESULTS } from './paths.ts';

/** Writes `benchmarks/results/<name>.json` and `.md`, and prints the latter. */
export function writeReport(name: string, title: string, lines: readonly string[], data: object): void {
  const machine = thisMachine();
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, `${name}.json`), `${JSON.stringify({ ...data, machine }, null, 2)}\n`);
  const text = [`# ${title}`, ...lines, '', formatMachine(machine), ''].join('\n');
  writeFileSync(join(RESULTS, `${name}.md`), text);
  console.log(text);
}
