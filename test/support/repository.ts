import { execFileSync } from 'node:child_process';

/** Files of the repository: those that git has, and new ones that it would take. Paths below its root, with slashes. */
export function trackedFiles(root: string): string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  return execFileSync('git', args, { cwd: root, encoding: 'utf8' })
    .split('\0')
    .filter((path) => path !== '');
}
