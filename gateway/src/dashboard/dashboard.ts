import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StaticFile } from './static-file.ts';

/** Where `dashboards/admin` is built. What is compiled has the same way there. */
export const DASHBOARD_DIRECTORY = fileURLToPath(new URL('../../../dashboards/admin/dist', import.meta.url));

const PAGE_FILE = 'index.html';
const ASSETS = 'assets';

interface Files {
  readonly page: StaticFile;
  readonly assets: ReadonlyMap<string, StaticFile>;
}

/**
 * The dashboard's files, as they were when they were first asked for: all of one build. They are found by their names alone, so that no
 * name leads anywhere else.
 */
export class Dashboard {
  readonly #directory: string;
  #files: Promise<Files | null> | null = null;

  constructor(directory = DASHBOARD_DIRECTORY) {
    this.#directory = directory;
  }

  /** null where the dashboard is not built. */
  async page(): Promise<StaticFile | null> {
    return (await this.#read())?.page ?? null;
  }

  /** null where there is no such file. */
  async asset(name: string): Promise<StaticFile | null> {
    return (await this.#read())?.assets.get(name) ?? null;
  }

  async #read(): Promise<Files | null> {
    this.#files ??= readFiles(this.#directory);
    const files = await this.#files.catch((error: unknown) => {
      this.#files = null;
      throw error;
    });
    // It may be built while the server runs.
    if (files === null) this.#files = null;
    return files;
  }
}

async function readFiles(directory: string): Promise<Files | null> {
  const page = await readFile(join(directory, PAGE_FILE)).catch(orAbsent);
  if (page === null) return null;
  const found = await readdir(join(directory, ASSETS), { withFileTypes: true }).catch(orAbsent);
  const names = (found ?? []).filter((entry) => entry.isFile()).map(({ name }) => name);
  const assets = await Promise.all(
    names.map(
      async (name) => [name, new StaticFile(name, await readFile(join(directory, ASSETS, name)))] as const,
    ),
  );
  return { page: new StaticFile(PAGE_FILE, page), assets: new Map(assets) };
}

function orAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}
