/** Adapters that the store fetches itself, from a local server that speaks as the hub does and from a local S3 server. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import {
  AdaptersStore,
  type Database,
  DirectoryBlobs,
  type ImportJob,
  Imports,
  openDatabase,
  Sources,
} from '@polylora/adapters-store';
import { parseS3Location } from '@polylora/adapters-store/options';
import { createS3Client } from '@polylora/adapters-store/s3';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { guardedLookup } from '../../adapters-store/src/sources/egress/guarded-fetch.ts';
import { fetchFromS3 } from '../../adapters-store/src/sources/s3.ts';
import { LocalHub } from '../support/hub.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from '../support/postgres.ts';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { type S3Server, startS3 } from '../support/s3.ts';
import { MODEL, SHAPE } from '../support/store-model.ts';

const OWNER = { tenant: 'acme', key: null };
const OTHER = { tenant: 'other', key: null };
const TOKEN = 'hf_canary';
const MOST_BYTES = 100_000;

const programs = postgresPrograms();

describe.each(['SQLite', 'PostgreSQL'] as const)('imports, noted down in %s', (kind) => {
  describe.skipIf(kind === 'PostgreSQL' && programs === null)('', () => {
    let postgres: PostgresServer | null = null;
    let folder: string;
    let hub: LocalHub;
    let s3: S3Server;
    let files: Record<string, Buffer>;
    let database: Database;
    let store: AdaptersStore;
    let imports: Imports;
    let home: string;
    let token: string | null;
    let now: number;
    const faults: unknown[] = [];
    const closing: (() => Promise<void>)[] = [];

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'polylora-imports-'));
      s3 = await startS3();
      if (kind === 'PostgreSQL') postgres = await startPostgres(programs!);
      await writeRandomAdapter(join(folder, 'adapter'), MODEL, { rank: 2, seed: 1 });
      const read = (name: string) => readFile(join(folder, 'adapter', name));
      files = {
        'README.md': Buffer.from('never fetched'),
        'adapter_config.json': await read('adapter_config.json'),
        'adapter_model.safetensors': await read('adapter_model.safetensors'),
        'pytorch_model.bin': Buffer.from('never fetched'),
      };
    });
    afterAll(async () => {
      await s3.stop();
      await postgres?.stop();
      await rm(folder, { recursive: true });
    });

    let homes = 0;
    beforeEach(async () => {
      home = join(folder, `home-${homes++}`);
      token = null;
      now = 1_800_000_000_000;
      hub = new LocalHub();
      await hub.start();
      database = await openDatabase(postgres === null ? join(home, 'polylora.db') : await postgres.url());
      store = new AdaptersStore({
        database,
        blobs: new DirectoryBlobs(join(home, 'blobs')),
        staging: join(home, 'staging'),
        model: SHAPE,
        graceSeconds: 60,
      });
      imports = open();
      return async () => {
        for (const close of closing.splice(0)) await close();
        await hub.stop();
        await database.destroy();
        expect(faults.splice(0)).toEqual([]);
      };
    });

    /** As a gateway does; several have the metadata in common. */
    function open(hosts = [hub.url, hub.cdnUrl]): Imports {
      const sources = new Sources({
        hosts,
        hubUrl: hub.url,
        hubToken: async () => token,
        s3Endpoint: s3.endpoint,
        s3Region: null,
      });
      const opened = new Imports({
        database,
        store,
        sources,
        staging: join(home, 'staging'),
        limits: { maxRank: 512, maxBytes: MOST_BYTES },
        onFault: (error) => faults.push(error),
        clock: () => now,
      });
      closing.push(async () => {
        await opened.close();
        await sources.close();
      });
      return opened;
    }

    const ask = (source: string, name = 'acme/support', at = imports, actor = OWNER) =>
      at.start({ source, name, tags: [], note: null }, actor);
    async function ended({ id }: ImportJob, at = imports): Promise<ImportJob> {
      let job = await at.find(id, OWNER);
      await expect
        .poll(
          async () => {
            job = await at.find(id, OWNER);
            return job.finishedAt;
          },
          { timeout: 20_000, interval: 20 },
        )
        .not.toBeNull();
      return job;
    }
    const fetched = () => hub.requests.filter(({ host }) => host === 'cdn').length;

    it('takes an adapter from the hub, with the commit that its revision stands for', async () => {
      const commit = hub.commit('acme/support-lora', files);
      const asked = await ask('hf:acme/support-lora');
      expect(asked).toMatchObject({ state: 'queued', source: 'hf:acme/support-lora@main', bytesTotal: null });
      const job = await ended(asked);
      const total = files['adapter_config.json']!.length + files['adapter_model.safetensors']!.length;
      expect(job).toMatchObject({ state: 'done', bytesDone: total, bytesTotal: total, error: null });
      const version = await store.resolve('acme/support', OWNER);
      expect(job.result).toEqual({ release: 'v1', digest: version?.digest });
      expect(version?.source).toEqual({ kind: 'hub', repo: 'acme/support-lora', commit });
      expect(await readFile((await store.weights(version!.digest)).files[0].path)).toEqual(
        files['adapter_model.safetensors'],
      );
      const paths = hub.requests.map(({ path }) => path.split('/').at(-1));
      expect(paths).not.toContain('pytorch_model.bin');
      expect(paths).not.toContain('README.md');
      expect(await readdir(join(home, 'staging'))).toEqual([]);
    });

    it('takes a branch and a commit', async () => {
      const old = hub.commit('acme/a', files, null, 'refs/pr/1');
      hub.commit('acme/a', files);
      expect((await ended(await ask('hf:acme/a@refs/pr/1', 'acme/x'))).state).toBe('done');
      expect((await ended(await ask(`hf:acme/a@${old}`, 'acme/y'))).state).toBe('done');
      for (const name of ['acme/x', 'acme/y'])
        expect((await store.resolve(name, OWNER))?.source).toMatchObject({ commit: old });
    });

    it('takes an adapter from S3, with what its weights’ ETag was', async () => {
      const location = s3.location();
      const { bucket: Bucket, prefix } = parseS3Location(location)!;
      for (const [name, Body] of Object.entries(files))
        await s3.client.send(new PutObjectCommand({ Bucket, Key: `${prefix}${name}`, Body }));
      expect(await ended(await ask(location))).toMatchObject({ state: 'done', source: `${location}/` });
      expect((await store.resolve('acme/support', OWNER))?.source).toEqual({
        kind: 's3',
        location: `${location}/`,
        etag: expect.stringMatching(/^[0-9a-f]{32}$/),
      });
      const none = await ended(await ask(`${location}/none`));
      expect(none).toMatchObject({ state: 'failed', error: { code: 'source_not_found' } });
    });

    it('takes a connection that breaks up again where it stopped, and gives up in the end', async () => {
      hub.commit('acme/a', files);
      hub.breaks = 2;
      const job = await ended(await ask('hf:acme/a'));
      expect(job).toMatchObject({ state: 'done', bytesDone: job.bytesTotal });
      expect(fetched()).toBe(3);
      hub.breaks = 10;
      const failed = await ended(await ask('hf:acme/a'));
      expect(failed.error).toMatchObject({
        code: 'source_unavailable',
        message: expect.stringMatching(/broke off after \d+ of \d+ bytes/),
      });
    });

    it('connects to no inner address that a bucket’s host is said to have', async () => {
      const resolve = async () => [{ address: '169.254.169.254', family: 4 }];
      const client = createS3Client({
        endpoint: null,
        region: 'us-east-1',
        lookup: guardedLookup(['public'], resolve),
      });
      const bounds = { maxBytes: MOST_BYTES, signal: new AbortController().signal, onBytes: () => {} };
      const asked = fetchFromS3({ bucket: 'bucket', prefix: '' }, folder, client, bounds, () => {});
      await expect(asked).rejects.toMatchObject({ code: 'source_refused' });
      client.destroy();
    });

    it('gives the token to the hub and to nobody else, and tells it nowhere', async () => {
      hub.commit('acme/private', files, TOKEN);
      const denied = await ended(await ask('hf:acme/private'));
      expect(denied.error).toMatchObject({
        code: 'source_denied',
        message: expect.stringContaining('token'),
      });
      token = 'hf_of-somebody-else';
      expect((await ended(await ask('hf:acme/private'))).error?.code).toBe('source_denied');
      token = TOKEN;
      expect((await ended(await ask('hf:acme/private'))).state).toBe('done');
      for (const { host, token } of hub.requests) if (host === 'cdn') expect(token).toBeNull();
      for (const table of ['import', 'audit', 'version'] as const)
        expect(JSON.stringify(await database.selectFrom(table).selectAll().execute())).not.toContain(TOKEN);
    });

    it('does the same import once, however often it is asked for while it runs', async () => {
      hub.commit('acme/a', files);
      hub.hold();
      const other = open();
      const jobs = await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          ask('hf:acme/a', 'acme/x', index % 2 === 0 ? imports : other),
        ),
      );
      expect(new Set(jobs.map(({ id }) => id)).size).toBe(1);
      // Another name is another import.
      expect((await ask('hf:acme/a', 'acme/y')).id).not.toBe(jobs[0]!.id);
      await expect.poll(fetched).toBe(2);
      hub.release();
      await ended(jobs[0]!);
      expect(fetched()).toBe(2);
      const again = await ask('hf:acme/a', 'acme/x');
      expect(again.id).not.toBe(jobs[0]!.id);
      expect((await ended(again)).result?.release).toBe('v1');
    });

    it('shows how far it is, here and at another gateway, and is cancelled from either', async () => {
      hub.commit('acme/a', files);
      const other = open();
      for (const canceller of [imports, other]) {
        hub.hold();
        const job = await ask('hf:acme/a', 'acme/x');
        await expect
          .poll(async () => (await other.find(job.id, OWNER)).bytesDone, { timeout: 5_000 })
          .toBeGreaterThan(0);
        const { bytesDone, bytesTotal, state } = await imports.find(job.id, OWNER);
        expect(state).toBe('fetching');
        expect(bytesDone).toBeLessThan(bytesTotal!);
        expect((await canceller.cancel(job.id, OWNER)).state).toBe('cancelled');
        await expect(canceller.cancel(job.id, OWNER)).rejects.toMatchObject({ code: 'import_ended' });
        await expect.poll(() => readdir(join(home, 'staging')), { timeout: 5_000 }).toEqual([]);
        hub.release();
        expect((await imports.find(job.id, OWNER)).state).toBe('cancelled');
        expect(await store.resolve('acme/x', OWNER)).toBeNull();
      }
    });

    it('says of an import that a crash broke off that it was', async () => {
      hub.commit('acme/a', files);
      hub.hold();
      const job = await ask('hf:acme/a');
      await expect.poll(fetched).toBe(1);
      await database
        .updateTable('import')
        .set({ seen_at: now - 20_000 })
        .execute();
      // Another process: it knows what the metadata says, and no more.
      const later = open();
      now += 1;
      expect(await later.find(job.id, OWNER)).toMatchObject({
        state: 'failed',
        error: { code: 'import_interrupted' },
      });
      const again = await ask('hf:acme/a', 'acme/support', later);
      expect(again.id).not.toBe(job.id);
      hub.release();
      expect((await ended(again, later)).state).toBe('done');
    });

    it('says so where the server stops in the midst of it', async () => {
      hub.commit('acme/a', files);
      hub.hold();
      const job = await ask('hf:acme/a');
      await expect.poll(fetched).toBe(1);
      await imports.close();
      expect(await open().find(job.id, OWNER)).toMatchObject({
        state: 'failed',
        error: { code: 'import_interrupted' },
      });
    });

    it('shows an import to whoever asked for it alone', async () => {
      hub.commit('acme/a', files);
      const job = await ask('hf:acme/a');
      const hidden = { code: 'import_not_found' };
      await expect(imports.find(job.id, OTHER)).rejects.toMatchObject(hidden);
      await expect(imports.cancel(job.id, OTHER)).rejects.toMatchObject(hidden);
      expect(await imports.list(OTHER)).toEqual([]);
      expect((await imports.list(OWNER)).map(({ id }) => id)).toEqual([job.id]);
      await ended(job);
      await expect(ask('hf:acme/a', 'acme/support', imports, OTHER)).rejects.toMatchObject({
        code: 'adapter_name_taken',
      });
    });

    it.each([
      [
        'a file that is longer than it is said to be',
        (hub: LocalHub) => {
          hub.instead = Buffer.alloc(MOST_BYTES, 1);
        },
        'source_too_large',
      ],
      [
        'a file that is not what is listed',
        (hub: LocalHub) => {
          hub.instead = Buffer.alloc(files['adapter_model.safetensors']!.length, 1);
        },
        'source_unavailable',
      ],
      [
        'a redirect to this machine',
        (hub: LocalHub) => {
          hub.redirect = 'http://127.0.0.1:8997/x';
        },
        'source_refused',
      ],
      [
        'a redirect to metadata',
        (hub: LocalHub) => {
          hub.redirect = 'http://169.254.169.254/latest';
        },
        'source_refused',
      ],
    ])('keeps nothing of %s', async (_, spoil, code) => {
      hub.commit('acme/a', files);
      spoil(hub);
      expect(await ended(await ask('hf:acme/a'))).toMatchObject({ state: 'failed', error: { code } });
      expect(await store.list(OWNER, { limit: 10 })).toEqual([]);
      expect(await readdir(join(home, 'staging'))).toEqual([]);
    });

    it('fetches nothing that is too large, whatever is said of its size', async () => {
      hub.commit('acme/large', { ...files, 'adapter_model.safetensors': Buffer.alloc(MOST_BYTES + 1) });
      hub.commit('acme/config', { ...files, 'adapter_config.json': Buffer.alloc(300_000, ' ') });
      for (const repo of ['acme/large', 'acme/config'])
        expect((await ended(await ask(`hf:${repo}`))).error?.code).toBe('source_too_large');
      expect(fetched()).toBe(0);
    });

    it('reads no list of files that has no end', async () => {
      hub.commit('acme/a', files);
      hub.isEndless = true;
      expect((await ended(await ask('hf:acme/a'))).error?.code).toBe('source_too_large');
      expect(hub.requests.length).toBeLessThanOrEqual(100);
    });

    it('refuses an adapter that is none, and names what is missing', async () => {
      hub.commit('acme/broken', { ...files, 'adapter_model.safetensors': Buffer.from('no') });
      expect((await ended(await ask('hf:acme/broken'))).error?.code).toBe('adapter_invalid');
      hub.commit('acme/pickle', {
        'adapter_config.json': files['adapter_config.json']!,
        'adapter_model.bin': Buffer.from('x'),
      });
      expect((await ended(await ask('hf:acme/pickle'))).error).toMatchObject({
        code: 'source_not_found',
        message: 'acme/pickle has no adapter_model.safetensors on the hub',
      });
    });

    it('connects to no hub that is not allowed', async () => {
      const strict = open(['huggingface.co']);
      hub.commit('acme/a', files);
      const job = await ended(await ask('hf:acme/a', 'acme/x', strict), strict);
      expect(job.error).toMatchObject({
        code: 'source_refused',
        message: expect.stringContaining('--import-hosts'),
      });
      expect(hub.requests).toEqual([]);
    });

    it.each([
      '',
      'acme/a',
      'hf:acme',
      'hf:acme/a/b',
      'hf:../a',
      'hf:acme/..',
      'hf:acme/a@',
      'hf:acme/a@../x',
      'hf:acme/a@b@c',
      'hf:acme/a?x',
      'https://huggingface.co/acme/a',
      's3://',
      's3://B',
      's3://127.0.0.1/x',
      's3://bucket/../x',
      's3://bucket//x',
      's3://bucket/x?y',
      'file:///etc/passwd',
    ])('refuses the source %j at once', async (source) => {
      await expect(ask(source)).rejects.toMatchObject({ code: 'source_invalid' });
    });

    it('refuses a name, a tag and a note at once that a push would refuse', async () => {
      const request = { source: 'hf:acme/a', name: 'acme/x', tags: [], note: null };
      for (const [change, code] of [
        [{ name: '../x' }, 'adapter_field_invalid'],
        [{ tags: ['v7'] }, 'adapter_tag_invalid'],
        [{ note: 'x'.repeat(5000) }, 'adapter_field_invalid'],
      ] as const) {
        await expect(imports.start({ ...request, ...change }, OWNER)).rejects.toMatchObject({ code });
      }
      expect(await imports.list(OWNER)).toEqual([]);
    });
  });
});
