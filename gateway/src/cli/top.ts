import { setTimeout as sleep } from 'node:timers/promises';
import { type CommandSpec, type Invocation, readCommand } from './arguments.ts';
import type { AdminClient } from './client.ts';
import { clientOf } from './client-of.ts';
import { CommandError, ConnectionError, RefusalError } from './errors.ts';
import { historyJson, type SnapshotJson, snapshotJson } from './live-json.ts';
import { type LiveDisplay, LiveJson, LiveLines, LiveTerminal } from './live-terminal.ts';
import { screenLines } from './live-text.ts';
import type { Surroundings } from './surroundings.ts';
import { tellingOf } from './telling.ts';
import { understood } from './tenancy-text.ts';

/** Between two attempts to come back to a server that was lost. */
const RETRY_MILLISECONDS = 1_000;
/** What a page of paper, or a log, has room for. */
const ONCE = { columns: 100, rows: 60 };

const COMMAND = {
  positionals: [],
  options: [{ name: 'once', value: null, help: 'shows them once, and ends' }],
  help: 'shows what a running server does, a second after the other',
  more:
    "An operator sees the whole server, a tenant's administrator its tenant's requests. Latencies are of the last 30 seconds, everything\n" +
    'else is of the last one. Where the output is no terminal, each second is a line; with --json it is what the API says of it.\n' +
    'Ctrl-C ends it.',
} satisfies CommandSpec;

/** Does what follows `polylora top`, and returns what is still to be printed. @throws UsageError, CommandError */
export async function runTop(args: readonly string[], surroundings: Surroundings): Promise<string> {
  const invocation = readCommand('polylora top', 'top', COMMAND, args);
  if ('help' in invocation) return invocation.help;
  const client = clientOf(invocation, surroundings);
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, leave);
  try {
    if (invocation.has('once')) return await once(client, invocation, leaving.signal);
    await watch(client, () => displayOf(client, invocation, surroundings), leaving.signal);
    return '';
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, leave);
  }
}

async function once(client: AdminClient, invocation: Invocation, leaving: AbortSignal): Promise<string> {
  const enough = new AbortController();
  let [seen, json]: [SnapshotJson[], unknown] = [[], null];
  await client.follow(
    ['live'],
    (event, data) => {
      if (event === 'history') seen = [...understood(historyJson, data).data];
      if (event !== 'snapshot' || enough.signal.aborted) return;
      seen.push(understood(snapshotJson, data));
      json = data;
      enough.abort();
    },
    AbortSignal.any([leaving, enough.signal]),
  );
  const now = seen.at(-1);
  if (leaving.aborted) return '';
  if (now === undefined || json === null) throw new CommandError('The server ended before it said anything.');
  return tellingOf(invocation)(
    json,
    () => `${screenLines(now, seen, client.origin, ONCE).join('\n').trimEnd()}\n`,
  );
}

function displayOf(client: AdminClient, { has }: Invocation, { stdout, stderr }: Surroundings): LiveDisplay {
  const out = (line: string) => void stdout.write(`${line}\n`);
  const tell = (line: string) => void stderr.write(`${line}\n`);
  if (has('json')) return new LiveJson(out, tell);
  return stdout.isTTY ? new LiveTerminal(stdout, client.origin) : new LiveLines(out, tell);
}

/** Shows each second until it is to leave, coming back to a server that was there and is lost. */
async function watch(client: AdminClient, open: () => LiveDisplay, leaving: AbortSignal): Promise<void> {
  const shown: { display: LiveDisplay | null } = { display: null };
  try {
    while (!leaving.aborted) {
      const problem = await follow(client, leaving, {
        begin(history) {
          shown.display ??= open();
          shown.display.begin(history);
        },
        show: (now) => shown.display?.show(now),
      });
      if (leaving.aborted) return;
      // One that was never there is another address than was meant.
      if (shown.display === null && problem !== null) throw problem;
      // The rest is about how to start one.
      const [reason] = (problem?.message ?? 'The server ended the connection.').split('\n', 1);
      shown.display?.say(`Trying again: ${reason}`);
      await sleep(RETRY_MILLISECONDS, undefined, { signal: leaving }).catch(() => {});
    }
  } finally {
    shown.display?.end();
  }
}

/** @returns why it ended, where that may pass; null: the server closed it. @throws CommandError where it will not pass */
async function follow(
  client: AdminClient,
  leaving: AbortSignal,
  { begin, show }: Pick<LiveDisplay, 'begin' | 'show'>,
): Promise<CommandError | null> {
  try {
    await client.follow(
      ['live'],
      (event, data) => {
        if (event === 'history') begin(understood(historyJson, data).data);
        if (event === 'snapshot') show(understood(snapshotJson, data));
      },
      leaving,
    );
    return null;
  } catch (error) {
    if (error instanceof ConnectionError) return error;
    // It is starting or stopping, or has as many readers as there may be.
    if (error instanceof RefusalError && (error.status >= 500 || error.status === 429)) return error;
    throw error;
  }
}
