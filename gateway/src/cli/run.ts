import { CommandError, FoundWrong, UsageError } from './errors.ts';
import type { Surroundings } from './surroundings.ts';
import { printableLines } from './text.ts';

/**
 * Prints what a command has to say.
 * @returns the exit status: 1 where the server refused or is not there, or something was found wrong, 2 where the command line is wrong
 */
export async function runCommand(
  work: () => Promise<string>,
  { stdout, stderr }: Surroundings,
): Promise<number> {
  try {
    stdout.write(await work());
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof CommandError)) throw error;
    if (error instanceof FoundWrong) stdout.write(error.output);
    stderr.write(`${printableLines(error.message)}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}
