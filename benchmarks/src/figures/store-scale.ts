import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AdaptersStore, DirectoryBlobs, openDatabase } from '@polylora/adapters-store';
import { percentile } from '../statistics.ts';
import type { Figure } from './figure.ts';

const VERSIONS = 10_000;
const VERSIONS_QUICKLY = 1_000;
/** Names, each with as many releases. */
const RELEASES = 10;
const AT_ONCE = 16;
const RESOLVES = 2_000;
const LISTS = 50;
const PAGE = 100;
const BOUNDS_MS = { list: 50, resolve: 1, start: 2_000 } as const;
const OWNER = { tenant: 'owner', key: null };
const GUEST = { tenant: 'guest', key: 'key' };
/** The smallest base model: what is measured is the metadata. */
const WIDTH = 8;
const MODEL = {
  digest: 'f'.repeat(64),
  layerCount: 1,
  projection: () => ({ in: WIDTH, out: WIDTH }),
};

export const storeScale: Figure = {
  name: 'store-scale',
  description: `with ${VERSIONS} versions in the store (SQLite): the largest of listing a page ÷ ${BOUNDS_MS.list} ms, resolving a name ÷ ${BOUNDS_MS.resolve} ms (95 % of them) and opening the store ÷ ${BOUNDS_MS.start} ms`,
  must: '<=',
  bound: 1,
  async measure({ quick = false }) {
    const versions = quick ? VERSIONS_QUICKLY : VERSIONS;
    const folder = mkdtempSync(join(tmpdir(), 'polylora-scale-'));
    try {
      const filled = await open(folder);
      const beginning = performance.now();
      await fill(filled.store, folder, versions);
      const filling = (performance.now() - beginning) / 1000;
      await filled.close();
      const started = performance.now();
      const { store, close } = await open(folder);
      await store.resolve(nameOf(0), OWNER);
      const start = performance.now() - started;
      const names = versions / RELEASES;
      const resolve = await times(RESOLVES, async (index) => {
        const name = nameOf((index * 7919) % names);
        // By its owner, by whom it was granted to, and by an older number.
        const reference = index % 3 === 2 ? `${name}@v${1 + (index % RELEASES)}` : name;
        const version = await store.resolve(reference, index % 3 === 1 ? GUEST : OWNER);
        if (version === null) throw new Error(`${reference} was not found`);
      });
      const list = await times(LISTS, async (index) => {
        const after = `tenant-${index % 9}`;
        const page = await store.list(index % 2 === 0 ? OWNER : GUEST, { limit: PAGE, after });
        if (page.length === 0) throw new Error('a page was empty');
      });
      await close();
      const worst = { list: percentile(list, 0.95), resolve: percentile(resolve, 0.95), start };
      return {
        value: Math.max(
          worst.list / BOUNDS_MS.list,
          worst.resolve / BOUNDS_MS.resolve,
          worst.start / BOUNDS_MS.start,
        ),
        details: [
          `a page of ${PAGE}: 95 % within ${worst.list.toFixed(2)} ms`,
          `a name: median ${percentile(resolve, 0.5).toFixed(3)} ms, 95 % within ${worst.resolve.toFixed(3)} ms`,
          `opening the store until the first name: ${start.toFixed(0)} ms`,
          `${versions} versions of ${names} names were pushed in ${filling.toFixed(0)} s, each synced`,
        ],
      };
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

async function open(folder: string): Promise<{ store: AdaptersStore; close: () => Promise<void> }> {
  const database = await openDatabase(join(folder, 'polylora.db'));
  const store = new AdaptersStore({
    database,
    blobs: new DirectoryBlobs(join(folder, 'blobs')),
    staging: join(folder, 'staging'),
    model: MODEL,
    graceSeconds: 3_600,
  });
  return { store, close: () => database.destroy() };
}

function nameOf(index: number): string {
  return `tenant-${index % 100}/adapter-${String(index).padStart(5, '0')}`;
}

async function fill(store: AdaptersStore, folder: string, versions: number): Promise<void> {
  const names = versions / RELEASES;
  let next = 0;
  const work = async (worker: number) => {
    const directory = join(folder, `adapter-${worker}`);
    mkdirSync(directory);
    writeFileSync(
      join(directory, 'adapter_config.json'),
      JSON.stringify({ peft_type: 'LORA', r: 1, lora_alpha: 1, target_modules: ['q_proj'], bias: 'none' }),
    );
    for (let name = next++; name < names; name = next++) {
      for (let release = 0; release < RELEASES; release++) {
        writeFileSync(join(directory, 'adapter_model.safetensors'), adapterFile(name * RELEASES + release));
        await store.push({ name: nameOf(name), directory, source: { kind: 'upload' } }, OWNER);
      }
      await store.grant(nameOf(name), { kind: 'tenant', grantee: GUEST.tenant }, OWNER);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, worker) => work(worker)));
}

/** A pair of rank 1 whose first number says which it is. */
function adapterFile(number: number): Buffer {
  const bytes = WIDTH * 4;
  const prefix = 'base_model.model.model.layers.0.self_attn.q_proj';
  const header = Buffer.from(
    JSON.stringify({
      [`${prefix}.lora_A.weight`]: { dtype: 'F32', shape: [1, WIDTH], data_offsets: [0, bytes] },
      [`${prefix}.lora_B.weight`]: { dtype: 'F32', shape: [WIDTH, 1], data_offsets: [bytes, 2 * bytes] },
    }),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const values = new Float32Array(2 * WIDTH);
  values[0] = number;
  return Buffer.concat([length, header, Buffer.from(values.buffer)]);
}

/** Milliseconds of each run. */
async function times(runs: number, run: (index: number) => Promise<void>): Promise<number[]> {
  const taken: number[] = [];
  for (let index = 0; index < runs; index++) {
    const beginning = performance.now();
    await run(index);
    taken.push(performance.now() - beginning);
  }
  return taken;
}
