import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { AdapterError, type AdapterErrorCode, type AdapterIssue } from '../errors.ts';
import type { Adapter, BaseModelShape } from '../types.ts';
import { CONFIG_FILE, readAdapterInside, WEIGHTS_FILE } from './adapter.ts';
import { resolveInside, unreadable } from './files.ts';

/** Why a folder is not served as an adapter. */
export interface AdapterProblem {
  /** The folder's name. */
  readonly name: string;
  readonly code: AdapterErrorCode;
  readonly message: string;
  readonly issues: readonly AdapterIssue[];
}

/** What a directory holds. */
export interface AdapterListing {
  /** In the order of their names. */
  readonly adapters: readonly Adapter[];
  readonly problems: readonly AdapterProblem[];
}

const NONE: ReadonlyMap<string, CheckedFolder> = new Map();

/** A folder as it was last read. */
interface Known {
  /** Tells whether its files were written to since. */
  readonly signature: string;
  readonly outcome: Adapter | AdapterProblem;
}

/** A folder whose files were checked. */
export interface CheckedFolder {
  readonly name: string;
  readonly signature: string;
  readonly digest: string;
}

export interface ScanOptions {
  /** Folders that were checked before, by name. */
  readonly checked?: ReadonlyMap<string, CheckedFolder>;
  /** Reads a folder that is new or changed only once it was the same twice: somebody may still be copying it. */
  readonly onlySettled?: boolean;
}

/**
 * A directory of adapters: each sub-directory is one, or the directory itself where it holds an adapter_config.json. An
 * adapter that is refused becomes a problem and stops no other. Plain files and names that begin with a dot are passed
 * over; nothing outside the directory is touched, whatever its links say.
 */
export class AdapterDirectory {
  readonly path: string;
  readonly #model: BaseModelShape;
  #known = new Map<string, Known>();
  /** Signatures of the last scan that were not read. */
  #unsettled = new Map<string, string>();

  constructor(directory: string, model: BaseModelShape) {
    this.path = resolve(directory);
    this.#model = model;
  }

  /** Folders that are served, with signatures that change when their files do. */
  get checked(): CheckedFolder[] {
    return [...this.#known].flatMap(([name, { signature, outcome }]) =>
      'issues' in outcome ? [] : [{ name, signature, digest: outcome.digest }],
    );
  }

  /**
   * What is there now. What has not changed since the last scan, or since it was checked, is not read again.
   * @param checked as `checked` gave it, perhaps in another process
   * @throws AdapterError `adapter_unreadable` where the directory itself cannot be read
   */
  async scan({ onlySettled = false, checked = NONE }: ScanOptions = {}): Promise<AdapterListing> {
    const { root, names } = await listDirectory(this.path);
    const folders = names.includes(CONFIG_FILE)
      ? [{ name: basename(this.path), path: root }]
      : names.map((name) => ({ name, path: join(root, name) }));
    const known = new Map<string, Known>();
    const unsettled = new Map<string, string>();
    for (const { name, path } of folders) {
      const before = this.#known.get(name);
      const signature = await signatureOf(path);
      if (before?.signature === signature) {
        known.set(name, before);
      } else if (onlySettled && this.#unsettled.get(name) !== signature) {
        unsettled.set(name, signature);
        // Until then it is what it was.
        if (before !== undefined) known.set(name, before);
      } else {
        const before = checked.get(name);
        const digest = before?.signature === signature ? before.digest : null;
        const outcome = await this.#read(root, name, path, digest);
        if (outcome !== null) known.set(name, { signature, outcome });
      }
    }
    [this.#known, this.#unsettled] = [known, unsettled];
    const adapters: Adapter[] = [];
    const problems: AdapterProblem[] = [];
    for (const { outcome } of known.values()) {
      if ('issues' in outcome) problems.push(outcome);
      else adapters.push(outcome);
    }
    return { adapters, problems };
  }

  /** null: there is nothing to read. */
  async #read(
    root: string,
    name: string,
    path: string,
    checkedDigest: string | null,
  ): Promise<Adapter | AdapterProblem | null> {
    try {
      const real = await resolveInside(root, path);
      // null: a link to nothing.
      if (real === null || !(await stat(real)).isDirectory()) return null;
      return await readAdapterInside(root, name, real, this.#model, checkedDigest);
    } catch (error) {
      const { code, message, issues } = error instanceof AdapterError ? error : unreadable(path, error);
      return { name, code, message, issues };
    }
  }
}

/** Sizes, times and inodes of what a folder's adapter is made of. */
async function signatureOf(folder: string): Promise<string> {
  const parts = await Promise.all(
    ['', CONFIG_FILE, WEIGHTS_FILE].map(async (file) => {
      const found = await stat(join(folder, file)).catch(() => null);
      if (found === null) return 'none';
      // A folder's own time changes with whatever else is put into it.
      return file === '' ? `${found.ino}` : `${found.ino} ${found.size} ${found.mtimeMs} ${found.ctimeMs}`;
    }),
  );
  return parts.join('; ');
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
