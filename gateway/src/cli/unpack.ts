import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';
import { z } from 'zod';
import { CONFIG_FILE, WEIGHTS_FILE } from './adapter-file.ts';
import { CommandError, ConnectionError } from './errors.ts';
import type { Progress } from './progress.ts';

const ABOUT_FILE = 'polylora.json';
/** What an archive may hold, each once; beside the weights they are short. */
const FILES: ReadonlyMap<string, number> = new Map([
  [ABOUT_FILE, 1 << 20],
  [CONFIG_FILE, 1 << 20],
  [WEIGHTS_FILE, Number.POSITIVE_INFINITY],
]);

const about = z.looseObject({ name: z.string(), release: z.string(), digest: z.string(), bytes: z.number() });
type PulledRelease = z.infer<typeof about>;

/** @throws CommandError where there is something already */
export async function assertFree(directory: string): Promise<void> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new CommandError(`${directory} cannot be a new folder (${error.code}).`);
  });
  if (names.length > 0)
    throw new CommandError(`${directory} is not empty. Say where a new folder may be made.`);
}

/**
 * Unpacks an adapter that is being fetched. The folder is there when all of it is.
 * @param begin is told the size of the weights, and answers who is told of their coming
 */
export async function unpack(
  archive: AsyncIterable<Uint8Array>,
  directory: string,
  begin: (bytes: number) => Progress,
): Promise<PulledRelease> {
  const target = resolve(directory);
  const draft = join(dirname(target), `.${randomUUID()}.polylora`);
  await mkdir(draft, { recursive: true });
  try {
    const entries = extract();
    const fed = pipeline(Readable.from(archive, { objectMode: false }), entries);
    fed.catch(() => {});
    const found = new Map<string, string>();
    for await (const entry of entries) {
      const { name, type, size = 0 } = entry.header;
      const most = FILES.get(name);
      if (most === undefined || type !== 'file' || found.has(name) || size > most)
        throw new CommandError('The archive is not one that Polylora makes.');
      const progress = name === WEIGHTS_FILE ? begin(size) : null;
      const texts: Buffer[] = [];
      const content = (async function* () {
        for await (const chunk of entry) {
          progress?.add((chunk as Buffer).length);
          if (progress === null) texts.push(chunk as Buffer);
          yield chunk as Buffer;
        }
      })();
      await pipeline(content, createWriteStream(join(draft, name), { flags: 'wx' }));
      found.set(name, Buffer.concat(texts).toString('utf8'));
    }
    await fed;
    const release = await checked(found, draft);
    // Where there is an empty folder, it makes way.
    await rmdir(target).catch(() => {});
    await rename(draft, target);
    return release;
  } catch (error) {
    throw explained(error, directory);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function checked(found: ReadonlyMap<string, string>, draft: string): Promise<PulledRelease> {
  if (found.size < FILES.size) throw new ConnectionError('The archive broke off.');
  const release = about.parse(JSON.parse(found.get(ABOUT_FILE) ?? ''));
  const { size } = await stat(join(draft, WEIGHTS_FILE));
  if (size !== release.bytes) throw new ConnectionError('The archive broke off.');
  return release;
}

function explained(error: unknown, directory: string): unknown {
  if (error instanceof CommandError || !(error instanceof Error)) return error;
  if ('code' in error && typeof error.code === 'string' && 'syscall' in error && 'path' in error)
    return new CommandError(`${directory} cannot be written (${error.code}).`);
  return new ConnectionError(`The archive broke off: ${error.message}.`);
}
