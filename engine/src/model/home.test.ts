import { expect, it } from 'vitest';
import { defaultHome } from './home.ts';

it("is the platform's cache directory", () => {
  expect(defaultHome({}, 'linux', '/home/ada')).toBe('/home/ada/.cache/polylora');
  expect(defaultHome({ XDG_CACHE_HOME: '/fast' }, 'linux', '/home/ada')).toBe('/fast/polylora');
  expect(defaultHome({ XDG_CACHE_HOME: 'relative' }, 'linux', '/home/ada')).toBe('/home/ada/.cache/polylora');
  expect(defaultHome({}, 'darwin', '/Users/ada')).toBe('/Users/ada/Library/Caches/polylora');
  expect(defaultHome({}, 'win32', 'C:\\Users\\ada')).toBe('C:\\Users\\ada\\AppData\\Local\\polylora');
  expect(defaultHome({ LOCALAPPDATA: 'D:\\local' }, 'win32', 'C:\\Users\\ada')).toBe('D:\\local\\polylora');
});
