import { statfs } from 'node:fs/promises';
import { within } from './within.ts';

/** How full the disk of a directory is, in bytes. */
export interface DiskUse {
  readonly free: number;
  readonly size: number;
}

/** How long a scrape waits for a disk: a mount that hangs must not hold up all else. */
const MOST_MILLISECONDS = 1_000;

/** Asks how full disks are. */
export class Disks {
  readonly #ask: (path: string) => Promise<DiskUse>;
  /** What was asked and is not answered yet, by path: to ask a mount that hangs again would take yet another of Node's few threads for files. */
  readonly #asked = new Map<string, Promise<DiskUse>>();

  /** @param ask for tests: how full the disk of a path is */
  constructor(ask: (path: string) => Promise<DiskUse> = useOf) {
    this.#ask = ask;
  }

  /**
   * Waits a second at most.
   * @param paths by what they are called
   * @returns what is known by the same names; what is not there yet, is away or does not answer has no size
   */
  async read(paths: Readonly<Record<string, string>>): Promise<ReadonlyMap<string, DiskUse>> {
    const found = new Map<string, DiskUse>();
    await Promise.all(
      Object.entries(paths).map(async ([name, path]) => {
        const use = await within(MOST_MILLISECONDS, this.#use(path)).catch(() => null);
        if (use !== null) found.set(name, use);
      }),
    );
    return found;
  }

  #use(path: string): Promise<DiskUse> {
    const asked = this.#asked.get(path);
    if (asked !== undefined) return asked;
    const asking = this.#ask(path).finally(() => this.#asked.delete(path));
    this.#asked.set(path, asking);
    return asking;
  }
}

async function useOf(path: string): Promise<DiskUse> {
  const { bavail, blocks, bsize } = await statfs(path);
  return { free: bavail * bsize, size: blocks * bsize };
}
