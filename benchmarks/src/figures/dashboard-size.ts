import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import { ROOT } from '../paths.ts';
import type { Figure } from './figure.ts';

const DIST = join(ROOT, 'dashboards', 'admin', 'dist');
/** What of the app names another of its files: what is imported, at once or when a page is opened. */
const NAMES = /[\w.-]+-[\w-]{8}\.(?:js|css|svg)/g;
/** As the gateway compresses. */
const QUALITY = constants.BROTLI_MAX_QUALITY;

export const dashboardSize: Figure = {
  name: 'dashboard-size',
  description:
    'kB, compressed, that the first load of the dashboard takes: the page, what it needs at once, and Overview with its charts',
  must: '<=',
  bound: 150,
  async measure() {
    const files = new Map(
      readdirSync(join(DIST, 'assets')).map((name) => [name, read(join('assets', name))]),
    );
    const index = read('index.html');
    const needed = new Set<string>();
    const need = (name: string, isLazyToo: boolean) => {
      const content = files.get(name);
      if (content === undefined || needed.has(name)) return;
      needed.add(name);
      for (const other of content.toString().match(NAMES) ?? [])
        if (isLazyToo || /^(overview|uPlot)/.test(other)) need(other, isLazyToo);
    };
    for (const name of index.toString().match(NAMES) ?? []) need(name, false);
    // All that Overview needs is needed with it; of the entry only what is not another page's.
    for (const name of [...needed].filter((found) => /^overview/.test(found))) {
      needed.delete(name);
      need(name, true);
    }
    const sizeOf = (names: Iterable<string>) =>
      [...names].reduce((sum, name) => sum + compressed(files.get(name)!), compressed(index));
    return {
      value: sizeOf(needed) / 1000,
      details: [
        `${needed.size} files with index.html: ${[...needed].join(', ')}`,
        `all pages together: ${(sizeOf(files.keys()) / 1000).toFixed(1)} kB in ${files.size} files`,
      ],
    };
  },
};

function read(path: string): Buffer {
  return readFileSync(join(DIST, path));
}

function compressed(content: Buffer): number {
  return brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: QUALITY } }).length;
}
