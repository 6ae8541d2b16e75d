/** Files of the store in S3: what it does when S3 is away, refuses or sends something else, and what it keeps here. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CopyObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import { AdaptersStore, type Database, openDatabase } from '@polylora/adapters-store';
import { parseS3Location } from '@polylora/adapters-store/options';
import { BlobCache, createS3Client, S3Blobs } from '@polylora/adapters-store/s3';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { type S3Server, startS3 } from '../support/s3.ts';
import { mountSmallDisk } from '../support/small-disk.ts';
import { MODEL, SHAPE } from '../support/store-model.ts';

const OWNER = { tenant: 'acme', key: null };
const LARGE = 1 << 20;

describe('a store whose files are in S3', () => {
  let folder: string;
  let s3: S3Server;
  let database: Database;
  let location: string;
  let home: string;
  let bytes: number;
  let ahead: number;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'polylora-s3-store-'));
    s3 = await startS3();
    for (let seed = 0; seed < 6; seed++)
      await writeRandomAdapter(join(folder, `adapter-${seed}`), MODEL, { rank: 2, seed });
    bytes = (await stat(join(folder, 'adapter-0', 'adapter_model.safetensors'))).size;
  });
  afterAll(async () => {
    await s3.stop();
    await rm(folder, { recursive: true });
  });

  let homes = 0;
  beforeEach(async () => {
    home = join(folder, `home-${homes++}`);
    location = s3.location();
    ahead = 0;
    database = await openDatabase(join(home, 'polylora.db'));
    return () => database.destroy();
  });

  /** A gateway's store; several have the metadata and the bucket in common, and each a cache of its own. */
  const open = (cache: string, cacheBytes = LARGE, endpoint = s3.endpoint) =>
    new AdaptersStore({
      database,
      blobs: new S3Blobs(
        createS3Client({ endpoint, region: null }),
        parseS3Location(location)!,
        new BlobCache(join(home, cache), cacheBytes),
      ),
      staging: join(home, 'staging'),
      model: SHAPE,
      graceSeconds: 60,
      clock: () => Date.now() + ahead,
    });
  const push = (store: AdaptersStore, seed: number, name = `acme/a${seed}`) =>
    store.push({ name, directory: join(folder, `adapter-${seed}`), source: { kind: 'upload' } }, OWNER);
  const cached = async (cache: string) => (await readdir(join(home, cache))).length;

  it('serves at one gateway what was pushed at another, byte for byte', async () => {
    const { version } = await push(open('a'), 0);
    const file = (await open('b').weights(version.digest)).files[0].path;
    expect(file).toContain(join(home, 'b'));
    expect(await readFile(file)).toEqual(
      await readFile(join(folder, 'adapter-0', 'adapter_model.safetensors')),
    );
  });

  it('fetches a file once, however many ask for it', async () => {
    const { version } = await push(open('a'), 0);
    const store = open('b');
    let requests = 0;
    const counted = s3.onRequest((method) => {
      if (method === 'GET') requests++;
    });
    const files = await Promise.all(Array.from({ length: 20 }, () => store.weights(version.digest)));
    counted();
    expect(new Set(files.map(({ files: [{ path }] }) => path)).size).toBe(1);
    expect(requests).toBe(1);
  });

  it('keeps so many bytes here, those used last, and never lets go of what is held', async () => {
    const source = open('a');
    const digests: string[] = [];
    for (let seed = 0; seed < 6; seed++) digests.push((await push(source, seed)).version.digest);
    const store = open('b', 3 * bytes);
    const gone: string[] = [];
    store.onRemoved((digest) => gone.push(digest));
    const release = store.hold(digests[0]!);
    const file = (await store.weights(digests[0]!)).files[0].path;
    await store.weights(digests[1]!);
    await store.weights(digests[2]!);
    await store.weights(digests[1]!);
    await store.weights(digests[3]!);
    expect(gone).toEqual([digests[2]]);
    await store.weights(digests[4]!);
    expect(gone).toEqual([digests[2], digests[1]]);
    expect([existsSync(file), await cached('b')]).toEqual([true, 3]);
    release();
    await store.weights(digests[5]!);
    await store.weights(digests[2]!);
    expect(gone).toEqual([digests[2], digests[1], digests[0], digests[3]]);
    // What went is fetched anew.
    expect((await store.weights(digests[0]!)).modules).toHaveLength(7);
    expect(await cached('b')).toBe(3);
  });

  it('says that there is no room where all that is here is in use', async () => {
    const source = open('a');
    const [one, two] = [await push(source, 0), await push(source, 1)];
    const store = open('b', bytes + 10);
    await store.weights(one.version.digest);
    const release = store.hold(one.version.digest);
    const refused = store.weights(two.version.digest);
    await expect(refused).rejects.toMatchObject({ code: 'storage_full', message: /--blob-cache-bytes/ });
    release();
    expect((await store.weights(two.version.digest)).modules).toHaveLength(7);
  });

  it('goes on with what is here while S3 is away, says so for the rest, and recovers by itself', async () => {
    const source = open('a');
    const [here, there] = [await push(source, 0), await push(source, 1)];
    const store = open('b');
    await store.weights(here.version.digest);
    await s3.goAway();
    try {
      expect((await store.weights(here.version.digest)).modules).toHaveLength(7);
      expect((await store.resolve('acme/a1', OWNER))?.digest).toBe(there.version.digest);
      const away = { name: 'StorageError', code: 'storage_unavailable', message: /S3.*ECONN/ };
      await expect(store.weights(there.version.digest)).rejects.toMatchObject(away);
      await expect(push(store, 2)).rejects.toMatchObject(away);
      expect(await store.resolve('acme/a2', OWNER)).toBeNull();
      // Gone for everybody at once; the object goes when it can.
      expect(await store.remove('acme/a0', OWNER)).toEqual([here.version.digest]);
      await expect(store.weights(here.version.digest)).rejects.toMatchObject({ code: 'adapter_not_found' });
    } finally {
      await s3.comeBack();
    }
    expect((await store.weights(there.version.digest)).modules).toHaveLength(7);
    expect((await push(store, 2)).number).toBe(1);
  });

  it('removes what it could not while S3 was away, and what no version speaks of, but nothing that is new', async () => {
    const store = open('a');
    const { bucket: Bucket, prefix: Prefix } = parseS3Location(location)!;
    const kept = await push(store, 0);
    await push(store, 1);
    const objects = async () => (await s3.client.send(new ListObjectsV2Command({ Bucket, Prefix }))).KeyCount;
    await s3.goAway();
    try {
      await store.remove('acme/a1', OWNER);
      await expect(store.collect()).rejects.toMatchObject({ code: 'storage_unavailable' });
    } finally {
      await s3.comeBack();
    }
    const orphan = `${Prefix}${'a'.repeat(64)}-${'0'.repeat(16)}.safetensors`;
    const foreign = `${Prefix}README.md`;
    for (const Key of [orphan, foreign])
      await s3.client.send(new PutObjectCommand({ Bucket, Key, Body: 'x' }));
    await store.collect();
    expect(await objects()).toBe(4);
    ahead = 2 * 60 * 60 * 1000;
    await store.collect();
    expect(await objects()).toBe(2);
    expect((await open('b').weights(kept.version.digest)).modules).toHaveLength(7);
  });

  it('uses nothing that is not what was put', async () => {
    const { version } = await push(open('a'), 0);
    const { bucket, prefix } = parseS3Location(location)!;
    const { Contents = [] } = await s3.client.send(
      new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }),
    );
    const object = { Bucket: bucket, Key: Contents[0]?.Key ?? '' };
    await s3.client.send(
      new CopyObjectCommand({ ...object, Key: 'kept', CopySource: `${bucket}/${object.Key}` }),
    );
    const whole = await readFile(join(folder, 'adapter-0', 'adapter_model.safetensors'));
    const changed = Buffer.from(whole);
    changed[changed.length - 1]! ^= 1;
    const Metadata = { sha256: 'f'.repeat(64) };
    const store = open('b');
    for (const Body of [changed, whole.subarray(0, -1), Buffer.alloc(0)]) {
      await s3.client.send(new PutObjectCommand({ ...object, Body, Metadata }));
      await expect(store.weights(version.digest)).rejects.toMatchObject({
        code: 'storage_unavailable',
        message: /not what was put/,
      });
      expect(await cached('b')).toBe(0);
    }
    await s3.client.send(new CopyObjectCommand({ ...object, CopySource: `${bucket}/kept` }));
    expect((await store.weights(version.digest)).modules).toHaveLength(7);
  });

  it('tells access that is denied and a bucket that is none from one another', async () => {
    const known = process.env.AWS_ACCESS_KEY_ID;
    process.env.AWS_ACCESS_KEY_ID = 'somebody-else';
    try {
      await expect(push(open('a'), 0)).rejects.toMatchObject({
        code: 'storage_denied',
        message: /credentials/,
      });
    } finally {
      process.env.AWS_ACCESS_KEY_ID = known;
    }
    location = 's3://no-such-bucket/x';
    await expect(push(open('b'), 0)).rejects.toMatchObject({
      code: 'storage_unavailable',
      message: /NoSuchBucket/,
    });
  });

  it('keeps a large file in parts, and leaves nothing of one that the disk has no room for', async () => {
    const client = createS3Client({ endpoint: s3.endpoint, region: null });
    const content = randomBytes(20 << 20);
    const id = `${'c'.repeat(64)}-${'1'.repeat(16)}`;
    await writeFile(join(home, 'large'), content);
    const blobs = (cache: string) =>
      new S3Blobs(client, parseS3Location(location)!, new BlobCache(cache, 1 << 30));
    await blobs(join(home, 'a')).put(id, join(home, 'large'));
    expect(existsSync(join(home, 'large'))).toBe(false);
    expect((await readFile(await blobs(join(home, 'b')).locate(id))).equals(content)).toBe(true);
    const disk = join(home, 'disk');
    const unmount = mountSmallDisk(disk, 3);
    if (unmount === null) return;
    try {
      await expect(blobs(join(disk, 'cache')).locate(id)).rejects.toMatchObject({ code: 'storage_full' });
      expect(await readdir(join(disk, 'cache'))).toEqual([]);
    } finally {
      unmount();
    }
  });

  it('finds its copies again after a restart, without what was broken off', async () => {
    const [one, two] = [await push(open('a'), 0), await push(open('a'), 1)];
    const store = open('b');
    await store.weights(one.version.digest);
    await store.weights(two.version.digest);
    const left = join(home, 'b', `${one.version.digest}-0123456789abcdef.safetensors.x.part`);
    await writeFile(left, 'half');
    await s3.goAway();
    try {
      const again = open('b');
      expect((await again.weights(one.version.digest)).modules).toHaveLength(7);
      expect((await again.weights(two.version.digest)).modules).toHaveLength(7);
      expect(existsSync(left)).toBe(false);
      // Made smaller meanwhile.
      const smaller = open('b', bytes + 10);
      await smaller.weights(two.version.digest);
      expect(await cached('b')).toBe(1);
    } finally {
      await s3.comeBack();
    }
  });
});
