/** A directory of what was made of a model, under the digest of what it was made from. */
import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Whether each file has as many bytes as were written. */
export async function areWhole(directory: string, files: Readonly<Record<string, number>>): Promise<boolean> {
  for (const [file, bytes] of Object.entries(files)) {
    if ((await stat(join(directory, file))).size !== bytes) return false;
  }
  return true;
}

/** Removes what a process that died left behind, and what is there but not whole. To be called under the directory's lock. */
export async function removeLeftovers(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  const parent = dirname(directory);
  for (const entry of await readdir(parent)) {
    if (entry.startsWith(`${basename(directory)}.`) && entry.endsWith('.tmp')) {
      await rm(join(parent, entry), { recursive: true, force: true });
    }
  }
}
