/**
 * Changes a store without end until it is killed, and tells of each change before and after it:
 * `node store-worker.mjs <options as JSON>`. JavaScript, and on the built store, because Node runs it as it is.
 */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { AdaptersStore, DirectoryBlobs, openDatabase } from '../../adapters-store/dist/index.js';

/** @type {{ home: string, adapters: string[], model: { digest: string, layerCount: number }, shapes: Record<string, { in: number, out: number }>, lanes: number, names: number }} */
const { home, adapters, model, shapes, lanes, names } = JSON.parse(process.argv[2] ?? '{}');
const OWNER = { tenant: 'acme', key: null };

const store = new AdaptersStore({
  database: await openDatabase(join(home, 'polylora.db')),
  blobs: new DirectoryBlobs(join(home, 'blobs')),
  staging: join(home, 'staging'),
  model: { ...model, projection: (module) => shapes[module] ?? { in: 0, out: 0 } },
  graceSeconds: 3600,
});

/** At once and as a whole: what was told is told, however soon the end comes. @param {object} line */
const tell = (line) => void writeSync(1, `${JSON.stringify(line)}\n`);
const below = (/** @type {number} */ count) => Math.floor(Math.random() * count);

/** A change that may be refused, which changes nothing. @returns {{ kind: string, name: string } & Record<string, any>} */
function anyChange(/** @type {string} */ name) {
  const tag = `t${below(2)}`;
  const grantee = `tenant-${below(3)}`;
  switch (below(10)) {
    case 0:
      return { kind: 'tag', name, tag: 'latest', to: `v${1 + below(3)}` };
    case 1:
      return { kind: 'tag', name, tag, to: `v${1 + below(3)}` };
    case 2:
      return { kind: 'untag', name, tag };
    case 3:
      return { kind: 'grant', name, grantee };
    case 4:
      return { kind: 'revoke', name, grantee };
    case 5:
      return { kind: 'remove', name };
    default:
      return { kind: 'push', name, adapter: below(adapters.length), tags: below(2) === 0 ? [] : [tag] };
  }
}

/** @param {{ kind: string, name: string } & Record<string, any>} change */
function make({ kind, name, adapter, tags, tag, to, grantee }) {
  switch (kind) {
    case 'push': {
      const directory = adapters[adapter] ?? '';
      return store.push({ name, directory, tags, source: { kind: 'upload' } }, OWNER);
    }
    case 'tag':
      return store.tag(name, tag, to, OWNER);
    case 'untag':
      return store.untag(name, tag, OWNER);
    case 'remove':
      return store.remove(name, OWNER);
    case 'grant':
      return store.grant(name, { kind: 'tenant', grantee }, OWNER);
    default:
      return store.revoke(name, { kind: 'tenant', grantee }, OWNER);
  }
}

/** Changes one after the other, of names that no other lane changes; the contents are every lane's. */
async function work(/** @type {number} */ lane) {
  for (;;) {
    const change = anyChange(`acme/lane-${lane}-${below(names)}`);
    tell({ lane, change });
    try {
      await make(change);
      tell({ lane, done: true });
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : null;
      tell({ lane, done: false, ...(code === 'adapter_not_found' ? {} : { error: String(error) }) });
    }
  }
}

tell({ ready: true });
await Promise.all(Array.from({ length: lanes }, (_, lane) => work(lane)));
