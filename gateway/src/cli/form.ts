import { randomUUID } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CommandError } from './errors.ts';

/** As PEFT's `save_pretrained` names them, with the parts that the API calls them. */
const FILES = [
  ['config', 'adapter_config.json'],
  ['weights', 'adapter_model.safetensors'],
] as const;
const CHUNK_BYTES = 1 << 20;

/** A multipart form whose files are read while it is sent; its length is known before. */
export interface Form {
  readonly contentType: string;
  readonly contentLength: number;
  /** May be read once. */
  readonly body: AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

interface OpenFile {
  readonly path: string;
  readonly head: Buffer;
  readonly handle: FileHandle;
  readonly bytes: number;
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
        yield* contentOf(file);
        yield Buffer.from('\r\n');
      }
      yield end;
    })(),
    close,
  };
}

async function openPart(path: string, part: string, boundary: string): Promise<OpenFile> {
  const handle = await open(path).catch((error: unknown) => {
    throw new CommandError(`${path} cannot be read: ${reasonOf(error)}.`);
  });
  const stat = await handle.stat();
  if (!stat.isFile()) {
    await handle.close();
    throw new CommandError(`${path} is not a file.`);
  }
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="${part}"; filename="${basename(path)}"\r\ncontent-type: application/octet-stream\r\n\r\n`;
  return { path, head: Buffer.from(head), handle, bytes: stat.size };
}

/** As many bytes as were promised: a file that grows meanwhile is cut, and one that shrinks is refused. */
async function* contentOf({ path, handle, bytes }: OpenFile): AsyncIterable<Uint8Array> {
  for (let position = 0; position < bytes; ) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, bytes - position));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) throw new CommandError(`${path} became shorter while it was sent.`);
    position += bytesRead;
    yield chunk.subarray(0, bytesRead);
  }
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'ENOTDIR') return 'its folder is none';
  if (code === 'EACCES' || code === 'EPERM') return 'it may not be read';
  return error instanceof Error ? error.message : String(error);
}
