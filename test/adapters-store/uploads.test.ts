/** Adapters that come in parts. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import {
  AdaptersStore,
  AdapterUploads,
  type Database,
  DirectoryBlobs,
  type NewUpload,
  openDatabase,
  type Principal,
} from '@polylora/adapters-store';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { mountSmallDisk } from '../support/small-disk.ts';
import { MODEL, SHAPE } from '../support/store-model.ts';

const ACME: Principal = { tenant: 'acme', key: null };
const OTHER: Principal = { tenant: 'other', key: 'key-1' };
const DAY = 24 * 60 * 60 * 1000;
const MOST = { uploads: 3, bytes: 20_000 };
const DISK_MEGABYTES = 4;

interface Source {
  readonly directory: string;
  readonly config: string;
  readonly weights: Buffer;
  readonly sha256: string;
}

let folder: string;
let sources: Source[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-uploads-'));
  sources = await Promise.all(
    [1, 2, 3].map(async (seed) => {
      const directory = join(folder, `adapter-${seed}`);
      await writeRandomAdapter(directory, MODEL, { rank: seed, seed });
      const weights = await readFile(join(directory, 'adapter_model.safetensors'));
      return {
        directory,
        config: await readFile(join(directory, 'adapter_config.json'), 'utf8'),
        weights,
        sha256: createHash('sha256').update(weights).digest('hex'),
      };
    }),
  );
});
afterAll(() => rm(folder, { recursive: true }));

const described = ({ config, weights, sha256 }: Source, name = 'acme/a'): NewUpload => ({
  name,
  config,
  bytes: weights.length,
  sha256,
});

describe('uploads in parts', () => {
  let database: Database;
  let store: AdaptersStore;
  let home: string;
  let now = Date.now();
  let homes = 0;
  beforeEach(async () => {
    now = Date.now();
    home = join(folder, `store-${homes++}`);
    database = await openDatabase(join(home, 'polylora.db'));
    store = new AdaptersStore({
      database,
      blobs: new DirectoryBlobs(join(home, 'blobs')),
      staging: join(home, 'staging'),
      model: SHAPE,
      graceSeconds: 60,
      isReserved: (name) => name === 'base',
    });
    return () => database.destroy();
  });

  /** As a process that has just started. */
  const uploads = () =>
    new AdapterUploads({
      directory: join(home, 'uploads'),
      store,
      model: SHAPE,
      limits: { maxBytes: 10_000, maxRank: 2 },
      most: MOST,
      clock: () => now,
    });
  const bytesOf = (bytes: Uint8Array) => Readable.from([bytes]);
  async function sent(source: Source, name?: string): Promise<string> {
    const { id } = await uploads().begin(described(source, name), ACME);
    await uploads().append(id, 0, bytesOf(source.weights), ACME);
    return id;
  }

  it('puts an adapter together from parts, each of which another process may take', async () => {
    const [, source] = sources as [Source, Source];
    const { weights } = source;
    const upload = { ...described(source), tags: ['stable'], note: 'in parts', parent: 'a'.repeat(64) };
    const { id, offset } = await uploads().begin(upload, ACME);
    expect(offset).toBe(0);
    for (let at = 0; at < weights.length; ) {
      expect(await uploads().find(id, ACME)).toMatchObject({
        offset: at,
        bytes: weights.length,
        release: null,
      });
      const part = weights.subarray(at, at + 700);
      at = (await uploads().append(id, at, bytesOf(part), ACME)).offset;
    }
    const release = await uploads().complete(id, ACME);
    expect(release).toMatchObject({ name: 'acme/a', number: 1, version: { note: 'in parts' } });
    const whole = await store.push(
      { name: 'acme/b', directory: source.directory, source: { kind: 'upload' } },
      ACME,
    );
    expect(release.version.digest).toBe(whole.version.digest);
    expect((await store.resolve('acme/a@stable', ACME))?.digest).toBe(release.version.digest);
    // Whoever missed the answer asks again.
    expect(await uploads().complete(id, ACME)).toEqual(release);
    expect(await uploads().find(id, ACME)).toMatchObject({ offset: weights.length, release: 1 });
    expect(await readdir(join(home, 'uploads', 'open'))).toEqual([]);
  });

  it('takes no bytes but those that come next, and keeps what came before a connection broke', async () => {
    const [{ weights }] = sources as [Source];
    const { id } = await uploads().begin(described(sources[0]!), ACME);
    const mismatch = (offset: number) => ({ code: 'upload_offset_mismatch', offset });
    await expect(uploads().append(id, 5, bytesOf(weights), ACME)).rejects.toMatchObject(mismatch(0));
    const breaking = Readable.from(
      (async function* () {
        yield weights.subarray(0, 300);
        yield weights.subarray(300, 450);
        throw new Error('the connection broke');
      })(),
    );
    await expect(uploads().append(id, 0, breaking, ACME)).rejects.toThrow('the connection broke');
    expect((await uploads().find(id, ACME)).offset).toBe(450);
    await expect(uploads().append(id, 0, bytesOf(weights), ACME)).rejects.toMatchObject(mismatch(450));
    await expect(uploads().complete(id, ACME)).rejects.toMatchObject({
      code: 'upload_incomplete',
      offset: 450,
    });
    const more = Buffer.concat([weights.subarray(450), Buffer.from('x')]);
    const tooLong = { code: 'upload_too_long' };
    await expect(uploads().append(id, 450, bytesOf(more), ACME)).rejects.toMatchObject(tooLong);
    await expect(uploads().append(id, 450, bytesOf(more), ACME, more.length)).rejects.toMatchObject(tooLong);
    await uploads().append(id, 450, bytesOf(weights.subarray(450)), ACME);
    expect((await uploads().complete(id, ACME)).number).toBe(1);
  });

  it('goes on with the same that was broken off, told by its hash, and lists what is open', async () => {
    const [source, other] = sources as [Source, Source];
    const upload = { ...described(source), tags: ['stable'] };
    const { id } = await uploads().begin(upload, ACME);
    await uploads().append(id, 0, bytesOf(source.weights.subarray(0, 100)), ACME);
    expect(await uploads().begin(upload, ACME)).toMatchObject({ id, offset: 100 });
    const others = [
      { ...upload, sha256: null },
      { ...upload, tags: [] },
      { ...upload, note: 'another' },
      { ...upload, config: `${upload.config} ` },
      described(other),
    ];
    for (const each of others) {
      const begun = await uploads().begin(each, ACME);
      expect(begun.id).not.toBe(id);
      await uploads().abandon(begun.id, ACME);
    }
    expect((await uploads().begin(upload, OTHER)).id).not.toBe(id);
    const listed = await uploads().list(ACME);
    expect(listed).toMatchObject([{ id, offset: 100, bytes: source.weights.length }]);
  });

  it('lets a new connection take over from one that hangs', async () => {
    const [{ weights }] = sources as [Source];
    const process = uploads();
    const { id } = await process.begin(described(sources[0]!), ACME);
    const hanging = new PassThrough();
    hanging.write(weights.subarray(0, 200));
    const first = process.append(id, 0, hanging, ACME);
    await expect.poll(async () => (await process.find(id, ACME)).offset).toBe(200);
    const [one, two] = await Promise.allSettled([
      first,
      process.append(id, 200, bytesOf(weights.subarray(200)), ACME),
    ]);
    expect(one).toMatchObject({
      status: 'rejected',
      reason: { code: 'upload_offset_mismatch', offset: 200 },
    });
    expect(two).toMatchObject({ status: 'fulfilled', value: { offset: weights.length } });
    const completed = await Promise.all([process.complete(id, ACME), process.complete(id, ACME)]);
    expect(completed.map(({ number }) => number)).toEqual([1, 1]);
  });

  it('tells of an upload of others what it tells of none', async () => {
    const { id } = await uploads().begin(described(sources[0]!), ACME);
    const done = await sent(sources[1]!, 'acme/done');
    await uploads().complete(done, ACME);
    for (const unknown of [id, done, 'f'.repeat(32), '../open', '..%2f', '']) {
      const asked = [
        () => uploads().find(unknown, OTHER),
        () => uploads().append(unknown, 0, bytesOf(Buffer.from('x')), OTHER),
        () => uploads().complete(unknown, OTHER),
        () => uploads().abandon(unknown, OTHER),
      ];
      for (const ask of asked) {
        const error: unknown = await ask().catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({ code: 'upload_not_found', message: 'there is no such upload' });
      }
    }
    expect((await uploads().find(id, ACME)).offset).toBe(0);
  });

  it('refuses before the first byte what no bytes could make good', async () => {
    const source = sources[0]!;
    const config = JSON.parse(source.config) as object;
    await store.push({ name: 'other/a', directory: source.directory, source: { kind: 'upload' } }, OTHER);
    const wrong: [Partial<NewUpload>, string][] = [
      [{ name: '../a' }, 'adapter_field_invalid'],
      [{ name: 'base' }, 'adapter_name_taken'],
      [{ name: 'other/a' }, 'adapter_name_taken'],
      [{ tags: ['v3'] }, 'adapter_tag_invalid'],
      [{ parent: 'x' }, 'adapter_field_invalid'],
      [{ note: 'x'.repeat(5000) }, 'adapter_field_invalid'],
      [{ sha256: 'X' }, 'adapter_field_invalid'],
      [{ bytes: 10_001 }, 'adapter_too_large'],
      [{ config: sources[2]!.config }, 'adapter_too_large'],
      [{ config: 'x'.repeat(300_000) }, 'adapter_too_large'],
      [{ config: '{' }, 'adapter_config_invalid'],
      [{ config: JSON.stringify({ ...config, lora_bias: true }) }, 'adapter_config_invalid'],
      [{ config: JSON.stringify({ ...config, target_modules: ['none'] }) }, 'adapter_config_invalid'],
    ];
    for (const [change, code] of wrong)
      await expect(uploads().begin({ ...described(source), ...change }, ACME)).rejects.toMatchObject({
        code,
      });
    expect(existsSync(join(home, 'uploads'))).toBe(false);
  });

  it('has room for so many uploads and bytes of a tenant, and no more, however many begin at once', async () => {
    // Without a hash each is an upload of its own.
    const upload = { ...described(sources[0]!), sha256: null, bytes: 9_000 };
    const process = uploads();
    const begun = await Promise.allSettled(Array.from({ length: 5 }, () => process.begin(upload, ACME)));
    const ids = begun.flatMap((each) => (each.status === 'fulfilled' ? [each.value.id] : []));
    // Of bytes there is room for two.
    expect(ids).toHaveLength(2);
    for (const each of begun)
      if (each.status === 'rejected') expect(each.reason).toMatchObject({ code: 'uploads_exceeded' });
    const small = { ...upload, bytes: 10 };
    ids.push((await process.begin(small, ACME)).id);
    await expect(process.begin(small, ACME)).rejects.toMatchObject({ code: 'uploads_exceeded' });
    expect((await process.begin(upload, OTHER)).offset).toBe(0);
    await process.abandon(ids[0]!, ACME);
    await expect(process.find(ids[0]!, ACME)).rejects.toMatchObject({ code: 'upload_not_found' });
    await process.begin(upload, ACME);
  });

  it('forgets what turns out to be no adapter, or not what was sent', async () => {
    const [source, other] = sources as [Source, Source];
    const damaged = Buffer.from(source.weights);
    damaged[damaged.length - 1]! ^= 1;
    const { id } = await uploads().begin(described(source), ACME);
    await uploads().append(id, 0, bytesOf(damaged), ACME);
    await expect(uploads().complete(id, ACME)).rejects.toMatchObject({ code: 'upload_damaged' });
    const mixed = await uploads().begin({ ...described(other), config: source.config }, ACME);
    await uploads().append(mixed.id, 0, bytesOf(other.weights), ACME);
    await expect(uploads().complete(mixed.id, ACME)).rejects.toMatchObject({
      code: 'adapter_tensors_invalid',
    });
    for (const gone of [id, mixed.id])
      await expect(uploads().find(gone, ACME)).rejects.toMatchObject({ code: 'upload_not_found' });
    expect(await store.list(ACME, { limit: 1 })).toEqual([]);
  });

  it('removes what nobody has gone on with for a day, and no other', async () => {
    const { id } = await uploads().begin(described(sources[0]!), ACME);
    const done = await sent(sources[1]!, 'acme/done');
    await uploads().complete(done, ACME);
    await mkdir(join(home, 'uploads', 'open', 'half-made'));
    now += DAY - 60_000;
    await uploads().collect();
    await store.collect();
    expect((await uploads().find(id, ACME)).offset).toBe(0);
    now += 120_000;
    await uploads().collect();
    for (const gone of [id, done])
      await expect(uploads().find(gone, ACME)).rejects.toMatchObject({ code: 'upload_not_found' });
    expect(await readdir(join(home, 'uploads', 'open'))).toEqual([]);
    expect((await store.resolve('acme/done', ACME))?.digest).toMatch(/^[0-9a-f]{64}$/);
  });
});

const disk = await mkdtemp(join(tmpdir(), 'polylora-uploads-disk-'));
const unmount = mountSmallDisk(disk, DISK_MEGABYTES);

describe.skipIf(unmount === null)('uploads on a full disk', () => {
  afterAll(async () => {
    unmount?.();
    await rm(disk, { recursive: true });
  });

  it('says so, keeps what was acknowledged, and goes on when there is room', async () => {
    const database = await openDatabase(join(disk, 'polylora.db'));
    const store = new AdaptersStore({
      database,
      blobs: new DirectoryBlobs(join(disk, 'blobs')),
      staging: join(disk, 'staging'),
      model: SHAPE,
      graceSeconds: 60,
    });
    const uploads = new AdapterUploads({
      directory: join(disk, 'uploads'),
      store,
      model: SHAPE,
      limits: { maxBytes: 100 << 20, maxRank: 8 },
      most: { uploads: 100, bytes: 1 << 30 },
    });
    const full = { name: 'StorageError', code: 'storage_full' };
    const source = sources[0]!;
    await expect(uploads.begin({ ...described(source), bytes: 5 << 20 }, ACME)).rejects.toMatchObject(full);
    const { id } = await uploads.begin({ ...described(source), bytes: 2 << 20 }, ACME);
    await uploads.append(id, 0, Readable.from([Buffer.alloc(1000)]), ACME);
    const filler = await open(join(disk, 'filler'), 'w');
    const { bavail, bsize } = await statfs(disk);
    await filler.writeFile(Buffer.alloc((bavail - 8) * bsize));
    const chunks = Array.from({ length: 16 }, () => Buffer.alloc(64 << 10));
    await expect(uploads.append(id, 1000, Readable.from(chunks), ACME)).rejects.toMatchObject(full);
    expect((await uploads.find(id, ACME)).offset).toBe(1000);
    // Reads of the store go on.
    expect(await store.list(ACME, { limit: 1 })).toEqual([]);
    await filler.truncate(0);
    await filler.close();
    expect((await uploads.append(id, 1000, Readable.from(chunks), ACME)).offset).toBe(1000 + (1 << 20));
    await database.destroy();
  });
});
