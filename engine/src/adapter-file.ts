import { stat } from 'node:fs/promises';
import { type AdapterWeights, EngineError } from './types.ts';

/**
 * Checks that an adapter's file is still the one that was validated, by its size and time: its digest stands for
 * that content and for no other.
 *
 * @throws EngineError `adapter_load_failed` where the file is gone or was written to since.
 */
export async function assertUnchanged({ file, fileSize, fileModifiedMs }: AdapterWeights): Promise<void> {
  const now = await stat(file).catch((error: NodeJS.ErrnoException) => {
    throw new EngineError('adapter_load_failed', `${file} cannot be read: ${error.code}`, { cause: error });
  });
  if (now.size !== fileSize || now.mtimeMs !== fileModifiedMs) {
    throw new EngineError(
      'adapter_load_failed',
      `${file} was changed after it was checked; restart to serve the new version`,
    );
  }
}
