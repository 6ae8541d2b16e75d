import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CONFIG_FILE, openAdapterFile, WEIGHTS_FILE } from './adapter-file.ts';
import type { AdminClient } from './client.ts';
import type { Invocation } from './commands.ts';
import { UsageError } from './errors.ts';
import { adapterForm } from './form.ts';
import { grantHint } from './grant-hint.ts';
import { Progress, type ProgressSink } from './progress.ts';
import type { Surroundings } from './surroundings.ts';
import type { Telling } from './telling.ts';
import { byteText, table } from './text.ts';
import { uploadInParts } from './upload.ts';
import { ranksText } from './versions.ts';

/** The server keeps so much of a form's field. */
const MOST_NOTE_BYTES = 4096;
/** Above this, a connection that breaks would cost too much. */
const LARGE_BYTES = 32 << 20;

/** `polylora adapters push` */
export async function push(
  client: AdminClient,
  { positionals: [directory = ''], text, texts, has }: Invocation,
  { stdout, stderr }: Surroundings,
  told: Telling,
): Promise<string> {
  const [name, note, parent] = [text('name'), text('note'), text('parent')];
  const tags = texts('tag');
  if (name === undefined) {
    throw new UsageError(
      'Say what clients will call it, such as --name acme/support. Try: polylora adapters push --help.',
    );
  }
  if (note !== undefined && Buffer.byteLength(note) > MOST_NOTE_BYTES) {
    throw new UsageError(`The note is longer than ${MOST_NOTE_BYTES} bytes.`);
  }
  const send = has('in-parts') || (await isLarge(directory)) ? pushInParts : pushAtOnce;
  const fields = {
    name,
    ...(tags.length === 0 ? {} : { tags }),
    ...(note === undefined ? {} : { note }),
    ...(parent === undefined ? {} : { parent: parent.replace(/^sha256:/, '') }),
  };
  const { json, value } = await send(client, directory, fields, stderr);
  const reference = `${name}@${value.release}`;
  const words = () =>
    table([
      ['release', reference],
      ['digest', value.digest],
      ['tags', [...new Set(['latest', ...tags])].join(', ')],
      ['size', byteText(value.bytes)],
      ['kind', value.kind],
      ...(ranksText(value.ranks) === '' ? [] : [['ranks', ranksText(value.ranks)]]),
    ]);
  stdout.write(told(json, words));
  if (value.release === 'v1') stderr.write(grantHint(name));
  return '';
}

interface PushFields {
  readonly name: string;
  readonly tags?: readonly string[];
  readonly note?: string;
  readonly parent?: string;
}

async function isLarge(directory: string): Promise<boolean> {
  const weights = await stat(join(directory, WEIGHTS_FILE)).catch(() => null);
  return weights !== null && weights.size > LARGE_BYTES;
}

async function pushAtOnce(
  client: AdminClient,
  directory: string,
  { tags, ...fields }: PushFields,
  stderr: ProgressSink,
): ReturnType<AdminClient['push']> {
  const form = await adapterForm(directory, {
    ...fields,
    ...(tags === undefined ? {} : { tags: tags.join(',') }),
  });
  try {
    // Before anything large is sent: is there a server, and is this its operator's key?
    await client.check();
    return await sendWithProgress(client, form, stderr);
  } finally {
    await form.close();
  }
}

async function pushInParts(
  client: AdminClient,
  directory: string,
  fields: PushFields,
  stderr: ProgressSink,
): ReturnType<AdminClient['push']> {
  const config = await openAdapterFile(join(directory, CONFIG_FILE));
  const text = await config.handle.readFile('utf8').finally(() => config.handle.close());
  const weights = await openAdapterFile(join(directory, WEIGHTS_FILE));
  try {
    await client.check();
    const progress = new Progress(stderr, weights.bytes);
    try {
      return await uploadInParts(client, weights, { ...fields, config: text }, progress);
    } finally {
      progress.end();
    }
  } finally {
    await weights.handle.close();
  }
}

async function sendWithProgress(
  client: AdminClient,
  form: Awaited<ReturnType<typeof adapterForm>>,
  stderr: ProgressSink,
): ReturnType<AdminClient['push']> {
  const progress = new Progress(stderr, form.contentLength);
  let left = form.contentLength;
  try {
    return await client.push(form, (bytes) => {
      progress.add(bytes);
      left -= bytes;
      if (left === 0) progress.sent();
    });
  } finally {
    progress.end();
  }
}
