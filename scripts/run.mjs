import { spawn } from 'node:child_process';
import { ROOT } from './paths.mjs';

/** A command that set-up needs has failed; its own output has already been shown. */
export class CommandFailed extends Error {}

/**
 * Runs a command with its output shown as it comes, and waits for its end.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, onStdout?: (text: string) => void }} [options]
 *   `onStdout` also receives what is shown on standard output.
 * @returns {Promise<number>} the exit status; 1 where a signal ended it
 */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? ROOT,
      env: options.env ?? process.env,
      stdio: ['ignore', options.onStdout === undefined ? 'inherit' : 'pipe', 'inherit'],
    });
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      process.stdout.write(text);
      options.onStdout?.(text);
    });
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

/**
 * Like {@link run}, but a status other than 0 is an error.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {Parameters<typeof run>[2]} [options]
 */
export async function runOrFail(command, args, options) {
  const code = await run(command, args, options);
  if (code !== 0) throw new CommandFailed(`\`${command} ${args.join(' ')}\` ended with status ${code}`);
}

/**
 * npm as this process was started by it, so that no shell and no PATH look-up is needed.
 * @returns {{ command: string, args: string[] }}
 */
export function npm() {
  const cli = process.env.npm_execpath;
  return cli?.endsWith('.js') ? { command: process.execPath, args: [cli] } : { command: 'npm', args: [] };
}
