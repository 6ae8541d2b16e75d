// `node dashboards/grafana/generate.mjs`: writes the dashboards' JSON. A test keeps it current.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { adapters } from './source/adapters.mjs';
import { cache } from './source/cache.mjs';
import { engine } from './source/engine.mjs';
import { overview } from './source/overview.mjs';
import { tenants } from './source/tenants.mjs';

const DIRECTORY = join(import.meta.dirname, 'dashboards');

/** Each file's text by its name. @returns {Map<string, string>} */
export function files() {
  return new Map(
    [overview, engine, adapters, tenants, cache].map((dashboard) => [
      `${dashboard.uid?.replace('polylora-', '')}.json`,
      `${JSON.stringify(dashboard, null, 2)}\n`,
    ]),
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  for (const [name, text] of files()) writeFileSync(join(DIRECTORY, name), text);
