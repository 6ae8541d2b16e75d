/**
 * Sends adapters in parts without end until it is killed, and tells of what was acknowledged:
 * `node upload-worker.mjs <options as JSON>`. JavaScript, and on the built store, because Node runs it as it is.
 */
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import {
  AdaptersStore,
  AdapterUploads,
  DirectoryBlobs,
  openDatabase,
} from '../../adapters-store/dist/index.js';

/** @type {{ home: string, adapters: string[], model: { digest: string, layerCount: number }, shapes: Record<string, { in: number, out: number }>, open: { id: string, adapter: number }[], lanes: number }} */
const { home, adapters, model, shapes, open, lanes } = JSON.parse(process.argv[2] ?? '{}');
const OWNER = { tenant: 'acme', key: null };
const MOST_CHUNK = 1500;

const shape = { ...model, projection: (/** @type {string} */ module) => shapes[module] ?? { in: 0, out: 0 } };
const store = new AdaptersStore({
  database: await openDatabase(join(home, 'polylora.db')),
  blobs: new DirectoryBlobs(join(home, 'blobs')),
  staging: join(home, 'staging'),
  model: shape,
  graceSeconds: 3600,
});
const uploads = new AdapterUploads({
  directory: join(home, 'uploads'),
  store,
  model: shape,
  limits: { maxBytes: 1 << 20, maxRank: 64 },
  most: { uploads: 10_000, bytes: 1 << 30 },
});
const sources = adapters.map((directory) => ({
  config: readFileSync(join(directory, 'adapter_config.json'), 'utf8'),
  weights: readFileSync(join(directory, 'adapter_model.safetensors')),
}));

/** At once and as a whole: what was told is told, however soon the end comes. @param {object} line */
const tell = (line) => void writeSync(1, `${JSON.stringify(line)}\n`);
const below = (/** @type {number} */ count) => Math.floor(Math.random() * count);

async function begin() {
  const adapter = below(sources.length);
  const { config, weights } = sources[adapter] ?? { config: '', weights: Buffer.alloc(0) };
  const name = `acme/adapter-${adapter}`;
  const { id } = await uploads.begin({ name, config, bytes: weights.length, sha256: null }, OWNER);
  tell({ id, adapter, offset: 0 });
  return { id, adapter };
}

async function send(/** @type {{ id: string, adapter: number }} */ { id, adapter }) {
  const { weights = Buffer.alloc(0) } = sources[adapter] ?? {};
  let { offset } = await uploads.find(id, OWNER);
  while (offset < weights.length) {
    const chunk = weights.subarray(offset, offset + 1 + below(MOST_CHUNK));
    ({ offset } = await uploads.append(id, offset, Readable.from([chunk]), OWNER));
    tell({ id, adapter, offset });
  }
  const { number } = await uploads.complete(id, OWNER);
  tell({ id, adapter, number });
}

async function work() {
  for (;;) await send(open.pop() ?? (await begin()));
}

tell({ ready: true });
await Promise.all(Array.from({ length: lanes }, work));
