import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';

const Owner = z.object({ pid: z.number(), host: z.string(), token: z.string() });
type Owner = z.infer<typeof Owner>;

const HEARTBEAT_MS = 5_000;
/** An owner that has not touched its lock for so long is gone, even where its pid was taken by another process. */
const STALE_MS = 60_000;
const POLL_MS = 200;

/** Locks that this process holds: with a pid of its own after a restart in a container, only these are live. */
const held = new Set<string>();

/**
 * Runs `work` while no other process that uses the same lock file does. Waits for a live owner as long as it
 * lives; takes over from one that died. What the lock guards must still be written atomically: a process that
 * was suspended for a minute may wake up to find its lock taken.
 */
export async function withFileLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(file), { recursive: true });
  const token = await acquire(file);
  const heartbeat = setInterval(() => {
    const now = new Date();
    // A lock that cannot be touched grows stale, which is right.
    utimes(file, now, now).catch(() => {});
  }, HEARTBEAT_MS);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    held.delete(token);
    if ((await readOwner(file))?.token === token) await rm(file, { force: true });
  }
}

async function acquire(file: string): Promise<string> {
  const owner: Owner = { pid: process.pid, host: hostname(), token: randomUUID() };
  for (;;) {
    held.add(owner.token);
    if (await create(file, owner)) return owner.token;
    held.delete(owner.token);
    const current = await readOwner(file);
    if (await isStale(file, current)) await removeStale(file, current);
    else await sleep(POLL_MS);
  }
}

async function create(file: string, owner: Owner): Promise<boolean> {
  try {
    await writeFile(file, JSON.stringify(owner), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Null also where the owner has created the file but not written it yet. */
async function readOwner(file: string): Promise<Owner | null> {
  try {
    return Owner.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return null;
  }
}

async function isStale(file: string, owner: Owner | null): Promise<boolean> {
  const touched = await stat(file).catch(() => null);
  if (touched === null) return false;
  if (Date.now() - touched.mtimeMs > STALE_MS) return true;
  return owner !== null && owner.host === hostname() && !isAlive(owner);
}

function isAlive(owner: Owner): boolean {
  if (owner.pid === process.pid) return held.has(owner.token);
  try {
    process.kill(owner.pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, under another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Two waiters may both find the lock stale; whoever moves away a fresh one instead puts it back. */
async function removeStale(file: string, stale: Owner | null): Promise<void> {
  const aside = `${file}.stale-${randomUUID()}`;
  try {
    await rename(file, aside);
  } catch {
    return;
  }
  const moved = await readOwner(aside);
  if (moved?.token !== stale?.token) await link(aside, file).catch(() => {});
  await rm(aside, { force: true });
}
