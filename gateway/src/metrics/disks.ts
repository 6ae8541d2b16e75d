import { statfs } from 'node:fs/promises';
import type { Instruments } from './instruments.ts';

/** Says how full the disks are. @param directories by what they are called in series */
export async function readDisks(
  instruments: Instruments,
  directories: Readonly<Record<string, string>>,
): Promise<void> {
  instruments.clear('diskFree');
  instruments.clear('diskSize');
  await Promise.all(
    Object.entries(directories).map(async ([directory, path]) => {
      // What is not there yet, or is away, has no size.
      const found = await statfs(path).catch(() => null);
      if (found === null) return;
      instruments.set('diskFree', found.bavail * found.bsize, { directory });
      instruments.set('diskSize', found.blocks * found.bsize, { directory });
    }),
  );
}
