import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from './atomic-file.ts';
import type { OnProgress } from './progress.ts';

const Remembered = z.object({
  path: z.string(),
  size: z.number(),
  mtimeMs: z.number(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/**
 * SHA-256 of a file's content, in hex. Remembered under `home` by path, size and modification time, so that a
 * large file is read once and not at every start.
 */
export async function fileDigest(file: string, home: string, onProgress?: OnProgress): Promise<string> {
  const path = await realpath(file);
  const { size, mtimeMs } = await stat(path);
  const memory = join(home, 'digests', `${createHash('sha256').update(path).digest('hex')}.json`);
  const known = await recall(memory);
  if (known !== null && known.path === path && known.size === size && known.mtimeMs === mtimeMs) {
    return known.sha256;
  }
  const sha256 = await hashFile(path, size, onProgress);
  await writeFileAtomic(memory, JSON.stringify({ path, size, mtimeMs, sha256 }));
  return sha256;
}

async function recall(memory: string): Promise<z.infer<typeof Remembered> | null> {
  try {
    return Remembered.parse(JSON.parse(await readFile(memory, 'utf8')));
  } catch {
    // Never written, or not readable any more: the file itself is the truth.
    return null;
  }
}

async function hashFile(path: string, total: number, onProgress?: OnProgress): Promise<string> {
  const hash = createHash('sha256');
  let done = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    const bytes = chunk as Buffer;
    hash.update(bytes);
    done += bytes.length;
    onProgress?.({ stage: 'verify', label: basename(path), done, total });
  }
  return hash.digest('hex');
}
