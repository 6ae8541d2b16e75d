import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';

const LINES_IN_ERROR = 8;

/** A program that is needed and not there. */
export class CommandMissing extends Error {
  override readonly name = 'CommandMissing';
}

interface RunOptions {
  readonly cwd?: string;
  /** Gets everything that the command writes. */
  readonly logFile?: string;
  readonly onLine?: (line: string) => void;
}

/**
 * Runs a command to its end.
 * @returns what it wrote on standard output
 * @throws CommandMissing where there is no such program, Error with its last lines where it fails.
 */
export async function run(
  command: string,
  args: readonly string[],
  { cwd, logFile, onLine }: RunOptions = {},
): Promise<string> {
  const child = spawn(command, args, {
    ...(cwd === undefined ? {} : { cwd }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log = logFile === undefined ? null : createWriteStream(logFile, { flags: 'a' });
  const last: string[] = [];
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      log?.write(`${line}\n`);
      last.push(line);
      if (last.length > LINES_IN_ERROR) last.shift();
      onLine?.(line);
    });
  }
  const [code, signal] = await once(child, 'close').catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? new CommandMissing(`there is no ${command} on the PATH`) : error;
  });
  log?.end();
  if (code === 0) return output;
  const where = logFile === undefined ? '' : ` (all of it: ${logFile})`;
  throw new Error(`${command} ended with ${signal ?? `status ${code}`}${where}:\n${last.join('\n')}`);
}
