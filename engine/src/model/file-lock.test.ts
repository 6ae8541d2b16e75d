import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withFileLock } from './file-lock.ts';

describe('file lock', () => {
  let directory: string;
  let lock: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'polylora-lock-'));
    lock = join(directory, 'deep', 'model.lock');
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const leaveLock = async (owner: object) => {
    await withFileLock(lock, async () => {});
    await writeFile(lock, JSON.stringify(owner));
  };

  it('lets one in at a time and leaves nothing behind', async () => {
    let inside = 0;
    let most = 0;
    const enter = () =>
      withFileLock(lock, async () => {
        most = Math.max(most, ++inside);
        await sleep(20);
        inside--;
      });
    await Promise.all([enter(), enter(), enter()]);
    expect(most).toBe(1);
    await expect(stat(lock)).rejects.toThrow('ENOENT');
  });

  it('is released when the work fails', async () => {
    await expect(withFileLock(lock, () => Promise.reject(new Error('disk full')))).rejects.toThrow(
      'disk full',
    );
    await withFileLock(lock, async () => {});
  });

  it('is taken over from a process that died', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    await leaveLock({ pid, host: hostname(), token: 'dead' });
    await Promise.all([1, 2, 3].map(() => withFileLock(lock, async () => {})));
  });

  it('is taken over from an earlier process with the same pid, as in a restarted container', async () => {
    await leaveLock({ pid: process.pid, host: hostname(), token: 'before the restart' });
    await withFileLock(lock, async () => {});
  });

  it('is taken over from another host only once its heartbeat has stopped', async () => {
    await leaveLock({ pid: 1, host: 'elsewhere', token: 'remote' });
    let entered = false;
    const waiting = withFileLock(lock, async () => {
      entered = true;
      expect(JSON.parse(await readFile(lock, 'utf8'))).toMatchObject({ pid: process.pid });
    });
    await sleep(300);
    expect(entered).toBe(false);
    const minutesAgo = new Date(Date.now() - 120_000);
    await utimes(lock, minutesAgo, minutesAgo);
    await waiting;
  });
});
