/** `polylora adapters import` and what goes with it: the server fetches, and this shows how far it is. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AdminClient, ImportJob } from './client.ts';
import type { Invocation } from './commands.ts';
import { CommandError, UsageError } from './errors.ts';
import { grantHint } from './grant-hint.ts';
import { Progress, type ProgressSink } from './progress.ts';
import { byteText, table, timeText } from './text.ts';

/** Often enough to look as if it moved. */
const ASK_MILLISECONDS = 250;
const MOST_TOKEN_BYTES = 4096;
const WORDS = { begins: 'The server fetches', sent: 'All fetched. The server is checking it.' } as const;

type Told = (json: unknown, words: () => string) => string;

/** Asks for an import and, unless told otherwise, waits for its end. */
export async function importAdapter(
  client: AdminClient,
  { positionals: [source = ''], text, texts, has }: Invocation,
  stderr: ProgressSink,
  told: Told,
): Promise<string> {
  const name = text('name');
  if (name === undefined) {
    throw new UsageError(
      'Say what clients will call it, such as --name acme/support. Try: polylora adapters import --help.',
    );
  }
  const begun = await client.import({ source, name, tags: texts('tag'), note: text('note') ?? null });
  const { id } = begun.value;
  if (has('detach'))
    return told(begun.json, () => `${id} fetches ${name}. polylora adapters imports says how far it is.\n`);
  const { json, value } = await waitFor(client, begun.value, stderr);
  if (value.state === 'cancelled') throw new CommandError(`The import of ${name} was cancelled.`);
  if (value.result === null) {
    const { code = 'unknown', message = 'It failed' } = value.error ?? {};
    throw new CommandError(`${message} (${code})`);
  }
  const { release, digest } = value.result;
  if (release === 'v1') stderr.write(grantHint(name));
  return told(json, () =>
    table([
      ['release', `${name}@${release}`],
      ['digest', digest],
      ['source', value.source],
      ['size', byteText(value.bytes_done)],
    ]),
  );
}

async function waitFor(client: AdminClient, { id }: ImportJob, stderr: ProgressSink) {
  let progress: Progress | null = null;
  let shown = 0;
  let isStoring = false;
  try {
    for (;;) {
      const answer = await client.importOf(id);
      const { state, bytes_done, bytes_total } = answer.value;
      if (progress === null && bytes_total !== null)
        progress = new Progress(stderr, bytes_total, () => performance.now(), WORDS);
      progress?.add(bytes_done - shown);
      shown = bytes_done;
      if (state === 'storing' && !isStoring) {
        isStoring = true;
        progress?.sent();
      }
      if (state === 'done' || state === 'failed' || state === 'cancelled') return answer;
      await sleep(ASK_MILLISECONDS);
    }
  } finally {
    progress?.end();
  }
}

export function importsText(jobs: readonly ImportJob[]): string {
  if (jobs.length === 0) return 'There are no imports. polylora adapters import begins one.\n';
  const rows = jobs.map(({ id, state, name, source, bytes_done, bytes_total, created, error }) => [
    id,
    state,
    bytes_total === null ? '-' : `${byteText(bytes_done)} of ${byteText(bytes_total)}`,
    timeText(created * 1000),
    name,
    source,
    error === null ? '' : `${error.message} (${error.code})`,
  ]);
  return table([['IMPORT', 'STATE', 'FETCHED', 'BEGUN', 'NAME', 'SOURCE', 'ERROR'], ...rows]);
}

/** A secret is no argument: those show in the list of processes. @throws UsageError */
export async function readToken(
  stdin: AsyncIterable<unknown> & { readonly isTTY?: boolean },
): Promise<string> {
  if (stdin.isTTY)
    throw new UsageError('The token is read from a file: polylora adapters token < token-file.');
  let text = '';
  for await (const chunk of stdin) {
    text += String(chunk);
    if (text.length > MOST_TOKEN_BYTES) throw new UsageError('What is on standard input is no token.');
  }
  const token = text.trim();
  if (token === '') throw new UsageError('There is no token on standard input.');
  return token;
}
