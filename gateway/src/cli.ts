import { runCommand } from './cli/run.ts';
import type { Surroundings } from './cli/surroundings.ts';
import { helpText } from './config/help.ts';
import { onStopSignal } from './signals.ts';
import { VERSION } from './version.ts';

type Client = (args: readonly string[], surroundings: Surroundings) => Promise<string>;

/** Commands for a running server, loaded when one is asked for. */
const CLIENTS: ReadonlyMap<string, () => Promise<Client>> = new Map([
  ['adapters', async () => (await import('./cli/adapters.ts')).runAdapters],
  ['tenants', async () => (await import('./cli/tenants.ts')).runTenants],
  ['keys', async () => (await import('./cli/keys.ts')).runKeys],
  ['cache', async () => (await import('./cli/cache.ts')).runCache],
  ['audit', async () => (await import('./cli/audit.ts')).runAudit],
  ['top', async () => (await import('./cli/top.ts')).runTop],
]);

await main(process.argv.slice(2));

/** Runs a command. The process lives on while it serves; otherwise its exit status says how it went. */
async function main(args: readonly string[]): Promise<void> {
  const [command, ...options] = args;
  const client = CLIENTS.get(command ?? '');
  if (client !== undefined) {
    // `polylora adapters ls | head` is no fault of anybody's.
    process.stdout.on('error', (error) => process.exit(codeOf(error) === 'EPIPE' ? 0 : 1));
    const run = await client();
    process.exitCode = await runCommand(() => run(options, process), process);
  } else if (command === 'help' || args.includes('--help') || args.includes('-h')) {
    process.stdout.write(helpText());
  } else if (args.includes('--version') || args.includes('-v')) {
    process.stdout.write(`${VERSION}\n`);
  } else if (command === 'serve') {
    await serveUntilStopped(options);
  } else {
    const problem = command === undefined ? 'A command is needed.' : `There is no command '${command}'.`;
    process.stderr.write(`${problem} Try: polylora serve, or polylora --help.\n`);
    process.exitCode = 2;
  }
}

async function serveUntilStopped(options: readonly string[]): Promise<void> {
  const stop = onStopSignal();
  try {
    // Loaded only now: help needs no engine.
    const [{ configFile, loadConfig }, { LiveConfig }] = await Promise.all([
      import('./config/load.ts'),
      import('./config/live-config.ts'),
    ]);
    const file = configFile(options, process.env);
    const config = new LiveConfig({ file, load: (content) => loadConfig(options, process.env, content) });
    const { serve } = await import('./main.ts');
    const server = await serve(config, (line) => process.stdout.write(`${line}\n`));
    // Without a file it means what it always does: the terminal is gone.
    if (file !== null) process.on('SIGHUP', () => void config.reload());
    stop.handle(server.stop);
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`);
    process.exit(codeOf(error) === 'invalid_config' ? 2 : 1);
  }
}

/** Errors with a code are for the operator and say it all in their message; others are our own faults. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return codeOf(error) === null ? (error.stack ?? error.message) : error.message;
}

function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
