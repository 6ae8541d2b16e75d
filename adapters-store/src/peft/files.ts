import { constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { isAbsolute, relative, sep } from 'node:path';
import { AdapterError } from '../errors.ts';

/**
 * The real path of a file or folder below `root`, every link followed, or null where there is none.
 *
 * @param root a real path (no links)
 * @throws AdapterError `adapter_path_refused` where a link leads out of root, `adapter_unreadable`
 */
export async function resolveInside(root: string, path: string): Promise<string | null> {
  let real: string;
  try {
    real = await realpath(path);
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return null;
    throw unreadable(path, cause);
  }
  const below = relative(root, real);
  if (isAbsolute(below) || below === '..' || below.startsWith(`..${sep}`)) {
    throw new AdapterError('adapter_path_refused', 'adapters', [
      { where: path, message: 'is a link that leads out of the adapters directory; copy the files into it' },
    ]);
  }
  return real;
}

/**
 * Reads a whole text file of at most `maxBytes`, and nothing but a regular file.
 *
 * @throws AdapterError `adapter_unreadable`
 */
export async function readSmallText(file: string, maxBytes: number): Promise<string> {
  let handle: FileHandle | undefined;
  try {
    // Non-blocking, so that opening a named pipe returns rather than waits for a writer.
    handle = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const status = await handle.stat();
    if (!status.isFile()) throw refusal(file, 'is not a regular file');
    if (status.size > maxBytes)
      throw refusal(file, `has ${status.size} bytes, at most ${maxBytes} are allowed`);
    return await handle.readFile('utf8');
  } catch (error) {
    throw error instanceof AdapterError ? error : unreadable(file, error);
  } finally {
    await handle?.close();
  }
}

/** The store's error for one of the file system; any other error is thrown on as it is. */
export function unreadable(path: string, cause: unknown): AdapterError {
  const code = errorCode(cause);
  if (code === null) throw cause;
  return refusal(path, `cannot be read (${code})`, { cause });
}

function refusal(path: string, message: string, options?: ErrorOptions): AdapterError {
  return new AdapterError('adapter_unreadable', 'adapters', [{ where: path, message }], options);
}

function errorCode(error: unknown): string | null {
  return error instanceof Error && 'code' in error ? String(error.code) : null;
}
