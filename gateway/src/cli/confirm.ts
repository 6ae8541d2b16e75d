import { createInterface } from 'node:readline/promises';
import { CommandError, UsageError } from './errors.ts';
import type { Surroundings } from './surroundings.ts';
import { printable } from './text.ts';

/**
 * @param refused what is said where the answer is not yes
 * @throws UsageError where there is nobody to ask, CommandError where the answer is not yes
 */
export async function confirm(
  question: string,
  { stdin, stderr }: Surroundings,
  { purpose = 'to remove it', refused = 'Nothing was removed.' } = {},
): Promise<void> {
  if (!stdin.isTTY || !stderr.isTTY) {
    throw new UsageError(`${question} There is no terminal to ask on: say --yes ${purpose}.`);
  }
  const terminal = createInterface({ input: stdin, output: stderr });
  try {
    // Ctrl-C or Ctrl-D: what comes next starts on a line of its own.
    const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('\n')));
    const answer = await Promise.race([terminal.question(printable(`${question} [y/N] `)), closed]);
    if (answer === '\n') stderr.write('\n');
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError(refused);
  } finally {
    terminal.close();
  }
}
