/** A store whose disk is full, or broken: a clear error, reads go on, and it recovers by itself. */
import { mkdtemp, open, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AdaptersStore,
  type Database,
  DirectoryBlobs,
  openDatabase,
  verifyAudit,
} from '@polylora/adapters-store';
import { type ModelInfo, projectionShape } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { mountSmallDisk } from '../support/small-disk.ts';

const MODEL = {
  digest: 'b'.repeat(64),
  layerCount: 1,
  hiddenSize: 64,
  intermediateSize: 128,
  headCount: 2,
  kvHeadCount: 1,
  headDim: 32,
} as ModelInfo;
const OWNER = { tenant: 'acme', key: null };
const ADAPTERS = 40;
const PAGE_BYTES = 4096;

const home = await mkdtemp(join(tmpdir(), 'polylora-full-'));
const disk = join(home, 'disk');
// Three of them are filled by SQLite's log alone, which is not written into its file before it has 4 MB.
const unmount = mountSmallDisk(disk, 4);

describe.skipIf(unmount === null)('a store on a full disk', () => {
  let database: Database;
  let store: AdaptersStore;
  const filler = join(disk, 'filler');
  beforeAll(async () => {
    database = await openDatabase(join(disk, 'polylora.db'));
    store = new AdaptersStore({
      database,
      blobs: new DirectoryBlobs(join(disk, 'blobs')),
      staging: join(disk, 'staging'),
      model: { ...MODEL, projection: (module) => projectionShape(MODEL, module) },
      graceSeconds: 60,
    });
    for (let seed = 0; seed < ADAPTERS; seed++)
      await writeRandomAdapter(join(home, `adapter-${seed}`), MODEL, { rank: 2, seed });
  });
  afterAll(async () => {
    await database.destroy();
    unmount?.();
    await rm(home, { recursive: true });
  });

  const push = (seed: number) =>
    store.push(
      { name: 'acme/a', directory: join(home, `adapter-${seed}`), source: { kind: 'upload' } },
      OWNER,
    );
  /** Leaves so many pages of the disk. */
  async function fill(pages: number): Promise<void> {
    await rm(filler, { force: true });
    const { bavail, bsize } = await statfs(disk);
    const handle = await open(filler, 'w');
    await handle.writeFile(Buffer.alloc(Math.max(0, bavail * bsize - pages * PAGE_BYTES)));
    await handle.close();
  }

  it('refuses a push wherever the room ends, keeps nothing of it, and takes it when there is room', async () => {
    let latest = (await push(0)).version.digest;
    const outcomes = new Set<string>();
    for (let seed = 1; seed < ADAPTERS; seed++) {
      // From none to enough for all of it: the copy, the file in its folder, the metadata.
      await fill(seed - 1);
      const pushed = await push(seed).catch((error: unknown) => error);
      if (pushed instanceof Error) {
        expect(pushed).toMatchObject({ name: 'StorageError', code: 'storage_full' });
        outcomes.add('full');
        const files = await Promise.all(
          (await readdir(join(disk, 'blobs'))).map((folder) => readdir(join(disk, 'blobs', folder))),
        );
        const versions = await database.selectFrom('version').select('digest').execute();
        expect(files.flat()).toHaveLength(versions.length);
      } else {
        outcomes.add('pushed');
        latest = (pushed as Awaited<ReturnType<typeof push>>).version.digest;
      }
      expect(await readdir(join(disk, 'staging'))).toEqual([]);
      // Reads go on.
      const version = await store.resolve('acme/a', OWNER);
      expect(version?.digest).toBe(latest);
      const [{ path }] = (await store.weights(latest)).files;
      expect((await stat(path)).size).toBe(version?.bytes);
      expect(await verifyAudit(database)).toMatchObject({ brokenAt: null });
      await rm(filler);
      latest = (await push(seed)).version.digest;
      expect((await store.resolve('acme/a', OWNER))?.digest).toBe(latest);
      // Room for the next.
      if (seed % 10 === 0) {
        await store.remove('acme/a', OWNER);
        latest = (await push(seed)).version.digest;
      }
    }
    expect(outcomes).toEqual(new Set(['full', 'pushed']));
  });

  it('tells so where the metadata has no room', async () => {
    await push(0);
    await fill(0);
    const grants = [];
    for (let tenant = 0; tenant < 200; tenant++) {
      const grantee = `tenant-${tenant}-${'x'.repeat(200)}`;
      grants.push(
        await store.grant('acme/a', { kind: 'tenant', grantee }, OWNER).catch((error: unknown) => error),
      );
    }
    const errors = grants.filter((outcome) => outcome !== undefined);
    expect(errors.length).toBeGreaterThan(0);
    for (const error of errors) expect(error).toMatchObject({ name: 'StorageError', code: 'storage_full' });
    const { grants: kept } = await store.inspect('acme/a', OWNER);
    expect(kept).toHaveLength(grants.length - errors.length);
    await rm(filler);
    await store.grant('acme/a', { kind: 'tenant', grantee: 'after' }, OWNER);
    await store.remove('acme/a', OWNER);
    expect(await verifyAudit(database)).toMatchObject({ brokenAt: null });
    expect(database.isTransaction).toBe(false);
  });

  it('tells what else the disk could not do, and goes on when it can', async () => {
    const { digest } = (await push(1)).version;
    const [blobs, aside] = [join(disk, 'blobs'), join(disk, 'aside')];
    await rename(blobs, aside);
    await writeFile(blobs, 'not a folder');
    const failure = { name: 'StorageError', code: 'storage_unavailable' };
    await expect(push(2)).rejects.toMatchObject(failure);
    await expect(store.weights(digest)).rejects.toMatchObject(failure);
    expect((await store.resolve('acme/a', OWNER))?.digest).toBe(digest);
    await rm(blobs);
    await rename(aside, blobs);
    await push(2);
    await store.weights(digest);
  });

  it('tells that another holds the metadata, and goes on when it lets go', async () => {
    const other = await openDatabase(join(disk, 'polylora.db'));
    const granted = () => store.grant('acme/a', { kind: 'tenant', grantee: 'busy' }, OWNER);
    await other.transaction().execute(async () => {
      await expect(granted()).rejects.toMatchObject({ name: 'StorageError', code: 'storage_unavailable' });
      expect(await store.resolve('acme/a', OWNER)).not.toBeNull();
    });
    await other.destroy();
    await granted();
  });
});
