/** Of an upload in parts, what was acknowledged is there after `kill -9`, and is what was sent. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AdaptersStore,
  AdapterUploads,
  DirectoryBlobs,
  openDatabase,
  readAdapter,
  verifyAudit,
} from '@polylora/adapters-store';
import { LORA_MODULES } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { MODEL, SHAPE } from '../support/store-model.ts';

const KILLS = 30;
const LONGEST_LIFE_MILLISECONDS = 600;
/** Other work on the machine may slow all of it several times. */
const TIMEOUT_MILLISECONDS = 240_000;
const LANES = 3;
const WORKER = join(import.meta.dirname, '..', 'support', 'upload-worker.mjs');
const OWNER = { tenant: 'acme', key: null };

type Line =
  | { readonly ready: true }
  | { readonly id: string; readonly adapter: number; readonly offset: number }
  | { readonly id: string; readonly adapter: number; readonly number: number };

/** What was acknowledged of an upload. */
interface Known {
  readonly adapter: number;
  offset: number;
  number: number | null;
}

describe('uploads in parts under kill -9', () => {
  let home: string;
  const adapters: string[] = [];
  const weights: Buffer[] = [];
  const digests: string[] = [];
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'polylora-upload-kill-'));
    for (const seed of [1, 2, 3]) {
      const directory = join(home, `adapter-${seed}`);
      await writeRandomAdapter(directory, MODEL, { rank: seed, seed });
      adapters.push(directory);
      weights.push(await readFile(join(directory, 'adapter_model.safetensors')));
      digests.push((await readAdapter(directory, SHAPE)).digest);
    }
  });
  afterAll(() => rm(home, { recursive: true }));

  async function workAndDie(known: Map<string, Known>): Promise<void> {
    const shapes = Object.fromEntries(LORA_MODULES.map((module) => [module, SHAPE.projection(module)]));
    const { digest, layerCount } = SHAPE;
    const open = [...known].flatMap(([id, { adapter, number }]) =>
      number === null ? [{ id, adapter }] : [],
    );
    const options = { home, adapters, model: { digest, layerCount }, shapes, open, lanes: LANES };
    const child = spawn(process.execPath, [WORKER, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout });
    const closed = once(lines, 'close');
    await new Promise<void>((resolve, reject) => {
      child.once('exit', () => reject(new Error('the worker ended by itself')));
      lines.on('line', (text) => {
        const line = JSON.parse(text) as Line;
        if ('ready' in line) return resolve();
        const { id, adapter } = line;
        const upload = known.get(id) ?? { adapter, offset: 0, number: null };
        known.set(id, upload);
        if ('offset' in line) upload.offset = line.offset;
        else upload.number = line.number;
      });
    });
    await sleep(Math.random() * LONGEST_LIFE_MILLISECONDS);
    child.kill('SIGKILL');
    // What it told before it died is still read.
    await closed;
  }

  it(
    `keeps what was acknowledged over ${KILLS} kills`,
    async () => {
      const known = new Map<string, Known>();
      for (let kill = 0; kill < KILLS; kill++) {
        await workAndDie(known);
        const database = await openDatabase(join(home, 'polylora.db'));
        const blobs = new DirectoryBlobs(join(home, 'blobs'));
        const options = { database, blobs, staging: join(home, 'staging'), model: SHAPE, graceSeconds: 3600 };
        const store = new AdaptersStore(options);
        const uploads = new AdapterUploads({
          directory: join(home, 'uploads'),
          store,
          model: SHAPE,
          limits: { maxBytes: 1 << 20, maxRank: 64 },
          most: { uploads: 10_000, bytes: 1 << 30 },
        });
        for (const [id, upload] of known) {
          const found = await uploads.find(id, OWNER);
          const source = weights[upload.adapter]!;
          expect(found.offset).toBeGreaterThanOrEqual(upload.offset);
          if (upload.number !== null) expect(found.release).toBe(upload.number);
          if (found.release !== null) {
            // It may have died between the release and its being told.
            upload.number = found.release;
            const version = await store.resolve(`acme/adapter-${upload.adapter}@v${found.release}`, OWNER);
            expect(version?.digest).toBe(digests[upload.adapter]);
            continue;
          }
          const kept = await readFile(join(home, 'uploads', 'open', id, 'adapter_model.safetensors'));
          expect(kept.equals(source.subarray(0, found.offset))).toBe(true);
        }
        if (kill === KILLS - 1) {
          for (const [id, { adapter, number }] of known) {
            if (number !== null) continue;
            const { offset } = await uploads.find(id, OWNER);
            await uploads.append(id, offset, Readable.from([weights[adapter]!.subarray(offset)]), OWNER);
            expect((await uploads.complete(id, OWNER)).version.digest).toBe(digests[adapter]);
          }
          await uploads.collect();
          // Only what began without being told of is left, and goes with time.
          const left = await readdir(join(home, 'uploads', 'open'));
          expect(left.filter((id) => known.has(id))).toEqual([]);
        }
        expect(await verifyAudit(database)).toMatchObject({ brokenAt: null });
        await database.destroy();
      }
      const completed = [...known.values()].filter(({ number }) => number !== null);
      expect(completed.length).toBeGreaterThan(KILLS / 3);
    },
    TIMEOUT_MILLISECONDS,
  );
});
