import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import { type AdapterFile, CONFIG_FILE, contentOf, openAdapterFile, WEIGHTS_FILE } from './adapter-file.ts';

/** The parts, as the API calls them. */
const FILES = [
  ['config', CONFIG_FILE],
  ['weights', WEIGHTS_FILE],
] as const;

/** A multipart form whose files are read while it is sent; its length is known before. */
export interface Form {
  readonly contentType: string;
  readonly contentLength: number;
  /** May be read once. */
  readonly body: AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

interface OpenFile extends AdapterFile {
  readonly head: Buffer;
}

/**
 * The form that pushes an adapter's folder.
 * @throws CommandError where a file of it cannot be read
 */
export async function adapterForm(
  directory: string,
  fields: Readonly<Record<string, string>>,
): Promise<Form> {
  const boundary = `polylora-${randomUUID()}`;
  const texts = Object.entries(fields).map(
    ([name, value]) => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  const fieldParts = Buffer.from(texts.join(''));
  const end = Buffer.from(`--${boundary}--\r\n`);
  const files: OpenFile[] = [];
  const close = async () => {
    await Promise.all(files.map(({ handle }) => handle.close()));
  };
  try {
    for (const [part, file] of FILES) files.push(await openPart(join(directory, file), part, boundary));
  } catch (error) {
    await close();
    throw error;
  }
  const lengths = files.map(({ head, bytes }) => head.length + bytes + '\r\n'.length);
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    contentLength: lengths.reduce((sum, length) => sum + length, fieldParts.length + end.length),
    body: (async function* () {
      yield fieldParts;
      for (const file of files) {
        yield file.head;
        yield* contentOf(file, 0, file.bytes);
        yield Buffer.from('\r\n');
      }
      yield end;
    })(),
    close,
  };
}

async function openPart(path: string, part: string, boundary: string): Promise<OpenFile> {
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="${part}"; filename="${basename(path)}"\r\ncontent-type: application/octet-stream\r\n\r\n`;
  return { ...(await openAdapterFile(path)), head: Buffer.from(head) };
}
