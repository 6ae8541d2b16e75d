/** One file from the Hugging Face hub: resumed where it stopped, verified, and then moved into place. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { downloadFile, type ListFileEntry } from '@huggingface/hub';
import { EngineError } from '../types.ts';
import type { HubAccess } from './hub.ts';

interface HubFile {
  readonly repo: string;
  readonly commit: string;
  readonly file: ListFileEntry;
  /** Where the file goes, under its own path. */
  readonly directory: string;
  readonly access: HubAccess;
  /** Called with the bytes that are there so far. */
  readonly onBytes: (done: number) => void;
}

/** How often a broken connection is taken up again before giving up. */
const ATTEMPTS = 4;
const PAUSE_MS = 250;

/** @throws EngineError `model_corrupt` where the content is not what the hub lists; what fetch throws otherwise. */
export async function downloadHubFile(wanted: HubFile): Promise<void> {
  const { file, directory, onBytes } = wanted;
  const target = join(directory, file.path);
  if ((await sizeOf(target)) === file.size) return onBytes(file.size);
  const partial = `${target}.part`;
  await mkdir(dirname(target), { recursive: true });
  for (let attempt = 1; ; attempt++) {
    try {
      await resume(wanted, partial);
      break;
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await sleep(attempt * PAUSE_MS);
    }
  }
  if (!(await isIntact(partial, file))) {
    await rm(partial, { force: true });
    throw new EngineError(
      'model_corrupt',
      `${file.path} of ${wanted.repo} differs from the hub's digest; try again.`,
    );
  }
  await rename(partial, target);
}

async function resume({ repo, commit, file, access, onBytes }: HubFile, partial: string): Promise<void> {
  let done = await sizeOf(partial);
  if (done > file.size) {
    await rm(partial);
    done = 0;
  }
  if (done === file.size && done > 0) return;
  const blob = await downloadFile({ repo, path: file.path, revision: commit, fetch: fetchPart, ...access });
  if (blob === null) throw new EngineError('model_not_found', `${repo} has no ${file.path} any more.`);
  const handle = await open(partial, 'a');
  try {
    for await (const chunk of blob.slice(done).stream()) {
      await handle.write(chunk);
      done += chunk.byteLength;
      onBytes(done);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (done !== file.size) throw new Error(`${file.path} ended after ${done} of ${file.size} bytes`);
}

/** The client streams whatever it gets: an error page, or the whole file where a part was asked for. */
const fetchPart: typeof fetch = async (input, init) => {
  const response = await fetch(input, init);
  const isPart = new Headers(init?.headers).has('range');
  if (response.ok && (!isPart || response.status === 206)) return response;
  await response.body?.cancel();
  throw new Error(`HTTP ${response.status}`);
};

/** Large files are listed with their SHA-256, others with git's SHA-1 of the blob. */
async function isIntact(path: string, file: ListFileEntry): Promise<boolean> {
  const [hash, expected]: [Hash, string | undefined] =
    file.lfs === undefined
      ? [createHash('sha1').update(`blob ${file.size}\0`), file.oid]
      : [createHash('sha256'), file.lfs.oid];
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex') === expected;
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}
