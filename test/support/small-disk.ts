import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

/** Mounts an empty disk of a few megabytes. @returns what takes it away again, or null where this user may not mount */
export function mountSmallDisk(directory: string, megabytes: number): (() => void) | null {
  mkdirSync(directory, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory], {
      stdio: 'ignore',
    });
  } catch {
    console.warn('no disk can be mounted here: the tests of a full one are skipped');
    return null;
  }
  return () => void execFileSync('umount', ['-l', directory]);
}
