import { type FileHandle, open } from 'node:fs/promises';
import { CommandError } from './errors.ts';

/** As PEFT's `save_pretrained` names them. */
export const CONFIG_FILE = 'adapter_config.json';
export const WEIGHTS_FILE = 'adapter_model.safetensors';
const CHUNK_BYTES = 1 << 20;

/** A file that is sent. */
export interface AdapterFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly bytes: number;
}

/** @throws CommandError where it cannot be read */
export async function openAdapterFile(path: string): Promise<AdapterFile> {
  const handle = await open(path).catch((error: unknown) => {
    throw new CommandError(`${path} cannot be read: ${reasonOf(error)}.`);
  });
  const stat = await handle.stat();
  if (stat.isFile()) return { path, handle, bytes: stat.size };
  await handle.close();
  throw new CommandError(`${path} is not a file.`);
}

/** As many bytes as were promised: a file that grows meanwhile is cut, and one that shrinks is refused. */
export async function* contentOf(
  { path, handle }: AdapterFile,
  begin: number,
  end: number,
): AsyncIterable<Uint8Array> {
  for (let position = begin; position < end; ) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, end - position));
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
