import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { AdapterError, type AdapterErrorCode, type AdapterIssue } from '../errors.ts';
import type { Adapter, AdapterTask, BaseModelShape } from '../types.ts';
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

/** A folder whose adapter was checked. */
export interface AdapterFolder {
  /** The folder's name; what clients call it. */
  readonly name: string;
  readonly digest: string;
  readonly task: AdapterTask;
  /** When its weights were last written, in seconds since 1970. */
  readonly createdAt: number;
}

/** What a directory holds. */
export interface AdapterListing {
  /** In the order of their names. */
  readonly adapters: readonly AdapterFolder[];
  readonly problems: readonly AdapterProblem[];
}

const NONE: ReadonlyMap<string, CheckedFolder> = new Map();

/** A folder as it was last read. */
interface Known {
  /** Below the directory's real path. */
  readonly path: string;
  /** Tells whether its files were written to since. */
  readonly signature: string;
  readonly outcome: AdapterFolder | AdapterProblem;
}

/** A folder whose files were checked, as they were then. */
export interface CheckedFolder {
  readonly name: string;
  readonly signature: string;
  readonly digest: string;
  readonly task: AdapterTask;
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
  /** The directory's real path when it was last scanned. */
  #root = '';
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
      'issues' in outcome ? [] : [{ name, signature, digest: outcome.digest, task: outcome.task }],
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
      const { signature, createdAt } = await lookAt(path);
      if (before?.signature === signature) {
        known.set(name, before);
      } else if (onlySettled && this.#unsettled.get(name) !== signature) {
        unsettled.set(name, signature);
        // Until then it is what it was.
        if (before !== undefined) known.set(name, before);
      } else {
        const remembered = checked.get(name);
        const outcome =
          remembered?.signature === signature
            ? { name, digest: remembered.digest, task: remembered.task, createdAt }
            : await this.#check(root, name, path);
        if (outcome !== null) known.set(name, { path, signature, outcome });
      }
    }
    [this.#root, this.#known, this.#unsettled] = [root, known, unsettled];
    const adapters: AdapterFolder[] = [];
    const problems: AdapterProblem[] = [];
    for (const { outcome } of known.values()) {
      if ('issues' in outcome) problems.push(outcome);
      else adapters.push(outcome);
    }
    return { adapters, problems };
  }

  /**
   * A folder's weights: their file, and where in it each tensor is. Read each time, because thousands of adapters'
   * tensors would fill the memory.
   *
   * @throws AdapterError where the folder is not what was checked
   */
  async read(name: string): Promise<Adapter> {
    const known = this.#known.get(name);
    const isSame = known !== undefined && (await lookAt(known.path)).signature === known.signature;
    if (!isSame || 'issues' in known.outcome) {
      const message = 'was changed or removed after it was checked; it is checked again soon';
      throw new AdapterError('adapter_unreadable', `adapter ${name}`, [{ where: name, message }]);
    }
    const real = (await resolveInside(this.#root, known.path)) ?? known.path;
    return readAdapterInside(this.#root, name, real, this.#model, known.outcome.digest);
  }

  /** null: there is nothing to read. */
  async #check(root: string, name: string, path: string): Promise<AdapterFolder | AdapterProblem | null> {
    try {
      const real = await resolveInside(root, path);
      // null: a link to nothing.
      if (real === null || !(await stat(real)).isDirectory()) return null;
      const { digest, task, createdAt } = await readAdapterInside(root, name, real, this.#model);
      return { name, digest, task, createdAt };
    } catch (error) {
      const { code, message, issues } = error instanceof AdapterError ? error : unreadable(path, error);
      return { name, code, message, issues };
    }
  }
}

/** Sizes, times and inodes of what a folder's adapter is made of, and when its weights were written. */
async function lookAt(folder: string): Promise<{ signature: string; createdAt: number }> {
  const [itself, config, weights] = await Promise.all(
    [folder, join(folder, CONFIG_FILE), join(folder, WEIGHTS_FILE)].map((path) =>
      stat(path).catch(() => null),
    ),
  );
  const described = [config, weights].map((file) =>
    file ? `${file.ino} ${file.size} ${file.mtimeMs} ${file.ctimeMs}` : 'none',
  );
  // A folder's own time changes with whatever else is put into it.
  const signature = [itself?.ino ?? 'none', ...described].join('; ');
  return { signature, createdAt: Math.floor((weights?.mtimeMs ?? 0) / 1000) };
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
