import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { storageError } from './blobs/blob-store.ts';

/**
 * Removes folders of half-done work that nobody has touched for a while. Younger ones may be another gateway's, which
 * works in the same directory.
 *
 * @param before milliseconds since 1970
 */
export async function removeLeftovers(directory: string, before: number): Promise<void> {
  for (const name of await namesIn(directory)) {
    const folder = join(directory, name);
    if ((await touchedAt(folder)) >= before) continue;
    await rm(folder, { recursive: true, force: true }).catch((error: unknown) => {
      throw storageError(error, 'removing what was left of a push');
    });
  }
}

/** The names in a directory; none where it is not made yet, or is no directory. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw storageError(error, 'listing a directory of the store');
  }
}

/** When the folder or a file in it was last written: a large file that is still coming keeps its folder. */
async function touchedAt(folder: string): Promise<number> {
  const paths = [folder, ...(await namesIn(folder)).map((name) => join(folder, name))];
  const times = await Promise.all(
    paths.map(async (path) => (await stat(path).catch(() => null))?.ctimeMs ?? 0),
  );
  return Math.max(...times);
}
