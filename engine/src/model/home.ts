import { homedir } from 'node:os';
import { posix, win32 } from 'node:path';

/**
 * Where models and what is made of them are kept unless told otherwise: the platform's cache directory.
 * A relative XDG_CACHE_HOME does not count, as its specification asks.
 */
export function defaultHome(
  env: Readonly<Record<string, string | undefined>>,
  platform: NodeJS.Platform = process.platform,
  userHome: string = homedir(),
): string {
  switch (platform) {
    case 'win32':
      return win32.join(env.LOCALAPPDATA || win32.join(userHome, 'AppData', 'Local'), 'polylora');
    case 'darwin':
      return posix.join(userHome, 'Library', 'Caches', 'polylora');
    default: {
      const xdg = env.XDG_CACHE_HOME ?? '';
      return posix.join(posix.isAbsolute(xdg) ? xdg : posix.join(userHome, '.cache'), 'polylora');
    }
  }
}
