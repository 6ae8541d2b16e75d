import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { benchmarkCache } from '../paths.ts';

/**
 * Does a long step of an installation once: a stamp in the cache remembers it. A step that was interrupted is done
 * again, in the same folder, so that compilers and downloads go on where they can.
 *
 * @param key everything that the result depends on: another key is another folder
 * @returns the step's folder
 */
export async function installStep(
  name: string,
  key: readonly string[],
  work: (folder: string) => Promise<void>,
): Promise<string> {
  const digest = createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 12);
  const folder = join(benchmarkCache(), `${name}-${digest}`);
  const stamp = join(folder, 'installed.json');
  if (hasStamp(stamp)) return folder;
  mkdirSync(folder, { recursive: true });
  console.error(`${name}: installing into ${folder}, once`);
  await work(folder);
  writeFileSync(stamp, `${JSON.stringify({ key })}\n`);
  return folder;
}

function hasStamp(file: string): boolean {
  try {
    readFileSync(file);
    return true;
  } catch {
    return false;
  }
}
