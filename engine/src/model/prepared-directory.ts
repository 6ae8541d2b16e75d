/** A directory of what was made of a model, under the digest of what it was made from. */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { writeFileDurable } from './atomic-file.ts';
import { withFileLock } from './file-lock.ts';

const MANIFEST_FILE = 'manifest.json';

/** What every manifest has. */
export const manifestFields = {
  /** Bytes of each file, to notice one that was cut short. */
  files: z.record(z.string(), z.int()),
};

interface WithFiles {
  readonly files: Readonly<Record<string, number>>;
}

/**
 * The manifest of a directory, which is made where it is not there or a file in it is not as it was written. Safe when
 * several processes do so at once.
 * @param fill writes the files into a directory that takes the other's place when all is on the disk
 */
export async function preparedOnce<Manifest extends WithFiles>(
  directory: string,
  schema: z.ZodType<Manifest>,
  fill: (temporary: string) => Promise<Manifest>,
): Promise<Manifest> {
  const found = await readManifest(directory, schema);
  if (found !== null) return found;
  return withFileLock(`${directory}.lock`, async () => {
    const byAnother = await readManifest(directory, schema);
    return byAnother ?? (await build(directory, fill));
  });
}

async function readManifest<Manifest extends WithFiles>(
  directory: string,
  schema: z.ZodType<Manifest>,
): Promise<Manifest | null> {
  try {
    const manifest = schema.parse(JSON.parse(await readFile(join(directory, MANIFEST_FILE), 'utf8')));
    return (await areWhole(directory, manifest.files)) ? manifest : null;
  } catch {
    return null;
  }
}

async function build<Manifest>(
  directory: string,
  fill: (temporary: string) => Promise<Manifest>,
): Promise<Manifest> {
  await removeLeftovers(directory);
  const temporary = `${directory}.${randomUUID()}.tmp`;
  await mkdir(temporary, { recursive: true });
  try {
    const manifest = await fill(temporary);
    await writeFileDurable(join(temporary, MANIFEST_FILE), JSON.stringify(manifest, null, 2));
    await rename(temporary, directory);
    return manifest;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** Whether each file has as many bytes as were written. */
async function areWhole(directory: string, files: Readonly<Record<string, number>>): Promise<boolean> {
  for (const [file, bytes] of Object.entries(files)) {
    if ((await stat(join(directory, file))).size !== bytes) return false;
  }
  return true;
}

/** Removes what a process that died left behind, and what is there but not whole. */
async function removeLeftovers(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  const parent = dirname(directory);
  for (const entry of await readdir(parent)) {
    if (entry.startsWith(`${basename(directory)}.`) && entry.endsWith('.tmp')) {
      await rm(join(parent, entry), { recursive: true, force: true });
    }
  }
}
