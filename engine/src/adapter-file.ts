import { stat } from 'node:fs/promises';
import { type AdapterFile, type AdapterWeights, EngineError } from './types.ts';

/**
 * Checks that an adapter's files are still those that were validated, by their sizes and times: its digest stands for
 * that content and for no other.
 *
 * @throws EngineError `adapter_load_failed` where a file is gone or was written to since.
 */
export async function assertUnchanged({ files }: AdapterWeights): Promise<void> {
  await Promise.all(files.map(assertSame));
}

async function assertSame({ path, bytes, modifiedMs }: AdapterFile): Promise<void> {
  const now = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new EngineError('adapter_load_failed', `${path} cannot be read: ${error.code}`, { cause: error });
  });
  if (now.size !== bytes || now.mtimeMs !== modifiedMs) {
    throw new EngineError(
      'adapter_load_failed',
      `${path} was changed after it was checked; restart to serve the new version`,
    );
  }
}
