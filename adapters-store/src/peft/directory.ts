import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { AdapterError, type AdapterErrorCode, type AdapterIssue } from '../errors.ts';
import type { Adapter, BaseModelShape } from '../types.ts';
import { CONFIG_FILE, readAdapterInside } from './adapter.ts';
import { resolveInside, unreadable } from './files.ts';

/** Why a folder is not served as an adapter. */
export interface AdapterProblem {
  /** The folder's name. */
  readonly name: string;
  readonly code: AdapterErrorCode;
  readonly message: string;
  readonly issues: readonly AdapterIssue[];
}

/**
 * Reads every adapter in a directory: each sub-directory is one, or the directory itself where it holds an
 * adapter_config.json. An adapter that is refused becomes a problem and stops no other. Plain files and names that
 * begin with a dot are passed over; nothing outside the directory is touched, whatever its links say.
 *
 * @throws AdapterError `adapter_unreadable` where the directory itself cannot be read
 */
export async function loadAdapterDirectory(
  directory: string,
  model: BaseModelShape,
): Promise<{ readonly adapters: readonly Adapter[]; readonly problems: readonly AdapterProblem[] }> {
  const absolute = resolve(directory);
  const { root, names } = await listDirectory(absolute);
  const folders = names.includes(CONFIG_FILE)
    ? [{ name: basename(absolute), path: root }]
    : names.map((name) => ({ name, path: join(root, name) }));
  const adapters: Adapter[] = [];
  const problems: AdapterProblem[] = [];
  for (const { name, path } of folders) {
    try {
      const real = await resolveInside(root, path);
      // null: a link to nothing.
      if (real === null || !(await stat(real)).isDirectory()) continue;
      adapters.push(await readAdapterInside(root, name, real, model));
    } catch (error) {
      const { code, message, issues } = error instanceof AdapterError ? error : unreadable(path, error);
      problems.push({ name, code, message, issues });
    }
  }
  return { adapters, problems };
}

async function listDirectory(absolute: string): Promise<{ root: string; names: string[] }> {
  try {
    const root = await realpath(absolute);
    const names = (await readdir(root)).filter((name) => !name.startsWith('.'));
    return { root, names: names.sort() };
  } catch (cause) {
    throw unreadable(absolute, cause);
  }
}
