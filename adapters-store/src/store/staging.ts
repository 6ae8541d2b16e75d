import { chmod, copyFile, mkdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StorageError, storageError } from '../blobs/blob-store.ts';
import { AdapterError } from '../errors.ts';
import { CONFIG_FILE, readAdapterInside, WEIGHTS_FILE } from '../peft/adapter.ts';
import { resolveInside } from '../peft/files.ts';
import type { Adapter, BaseModelShape } from '../types.ts';

/** What is copied. */
interface Staged {
  readonly name: string;
  readonly directory: string;
  /** No link may lead out of this one: the directory itself, where it is not given. */
  readonly root?: string;
}

/** Copies what is pushed to a directory of our own, which nobody else writes to. */
export async function stage(
  { name, directory, root = directory }: Staged,
  staged: string,
  model: BaseModelShape,
): Promise<void> {
  try {
    await mkdir(staged, { recursive: true });
    const realRoot = await realpath(root);
    for (const file of [CONFIG_FILE, WEIGHTS_FILE]) {
      const source = await resolveInside(realRoot, join(directory, file));
      if (source === null) {
        // Says what is missing, and names a pickle that is there instead.
        await readAdapterInside(realRoot, name, directory, model);
        continue;
      }
      await assertRegular(source);
      await copyFile(source, join(staged, file));
      // Ours, however it was protected where it came from.
      await chmod(join(staged, file), 0o600);
    }
  } catch (error) {
    throw storageError(error, 'copying an adapter');
  }
}

/** @throws AdapterError for what is wrong with the adapter, StorageError where our own copy cannot be read */
export async function readStaged(staged: string, name: string, model: BaseModelShape): Promise<Adapter> {
  try {
    const root = await realpath(staged);
    return await readAdapterInside(root, name, root, model);
  } catch (error) {
    if (!(error instanceof AdapterError) || error.code !== 'adapter_unreadable') throw error;
    const failure = storageError(error.cause, 'checking an adapter');
    throw failure instanceof StorageError ? failure : error;
  }
}

/** A named pipe would never end, and neither would some devices. */
async function assertRegular(file: string): Promise<void> {
  if ((await stat(file)).isFile()) return;
  throw new AdapterError('adapter_unreadable', 'adapters', [
    { where: file, message: 'is not a regular file' },
  ]);
}
