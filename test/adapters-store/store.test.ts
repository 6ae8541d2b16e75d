import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import {
  AdapterDirectory,
  AdaptersStore,
  type BlobStore,
  type Database,
  DirectoryBlobs,
  EVERYONE,
  migrateBack,
  openDatabase,
  type Principal,
  verifyAudit,
} from '@polylora/adapters-store';
import { parseS3Location } from '@polylora/adapters-store/options';
import { BlobCache, createS3Client, S3Blobs } from '@polylora/adapters-store/s3';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type PostgresServer, postgresPrograms, startPostgres } from '../support/postgres.ts';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { type S3Server, startS3 } from '../support/s3.ts';
import { MODEL, SHAPE } from '../support/store-model.ts';

const ACME: Principal = { tenant: 'acme', key: null };
const OTHER: Principal = { tenant: 'other', key: 'key-1' };
const SOURCE = { kind: 'upload' } as const;
const GRACE_SECONDS = 60;

const programs = postgresPrograms();
if (programs === null) console.warn('PostgreSQL is not installed: its half of these tests is skipped');

describe.each([
  ['SQLite', 'a directory'],
  ['PostgreSQL', 'a directory'],
  ['SQLite', 'S3'],
] as const)('the adapters store on %s, its files in %s', (kind, place) => {
  describe.skipIf(kind === 'PostgreSQL' && programs === null)('', () => {
    let folder: string;
    let postgres: PostgresServer | null = null;
    let s3: S3Server | null = null;
    let database: Database;
    let store: AdaptersStore;
    let now = 1_800_000_000_000;
    const adapters: string[] = [];

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'polylora-store-'));
      if (kind === 'PostgreSQL') postgres = await startPostgres(programs!);
      if (place === 'S3') s3 = await startS3();
      for (const seed of [1, 2, 3]) {
        adapters.push(join(folder, `adapter-${seed}`));
        await writeRandomAdapter(adapters.at(-1)!, MODEL, { rank: seed, seed });
      }
      return async () => {
        await postgres?.stop();
        await s3?.stop();
        await rm(folder, { recursive: true });
      };
    });

    let location = '';
    const openBlobs = (home: string): BlobStore => {
      if (s3 === null) return new DirectoryBlobs(join(home, 'blobs'));
      location = s3.location();
      const client = createS3Client({ endpoint: s3.endpoint, region: null });
      return new S3Blobs(client, parseS3Location(location)!, new BlobCache(join(home, 'blobs'), 1 << 20));
    };
    /** As when somebody has tidied up where it is kept. */
    const lose = async (file: string) => {
      await rm(file);
      await s3?.remove(`${location}/${basename(file)}`);
    };

    let stores = 0;
    beforeEach(async () => {
      const home = join(folder, `store-${stores++}`);
      const metadata = postgres === null ? join(home, 'polylora.db') : await postgres.url();
      database = await openDatabase(metadata);
      store = new AdaptersStore({
        database,
        blobs: openBlobs(home),
        staging: join(home, 'staging'),
        model: SHAPE,
        graceSeconds: GRACE_SECONDS,
        clock: () => now,
      });
      return () => database.destroy();
    });

    const push = (name: string, adapter: number, actor = ACME, tags: string[] = []) =>
      store.push({ name, directory: adapters[adapter]!, tags, source: SOURCE }, actor);
    const digestOf = async (reference: string, principal = ACME) =>
      (await store.resolve(reference, principal))?.digest ?? null;

    it('gives each content pushed under a name a number, and moves tags to it', async () => {
      const first = await push('acme/support', 0, ACME, ['stable']);
      const second = await push('acme/support', 1);
      expect([first.number, second.number]).toEqual([1, 2]);
      expect(first.version.ranks).toMatchObject({ q_proj: 1 });
      expect(await digestOf('acme/support')).toBe(second.version.digest);
      expect(await digestOf('acme/support@latest')).toBe(second.version.digest);
      expect(await digestOf('acme/support@stable')).toBe(first.version.digest);
      expect(await digestOf('acme/support@v1')).toBe(first.version.digest);
      expect(await digestOf(`acme/support@sha256:${first.version.digest}`)).toBe(first.version.digest);
      expect(await digestOf('acme/support@v3')).toBeNull();
      expect(await digestOf(`acme/other@sha256:${first.version.digest}`)).toBeNull();
      await store.tag('acme/support', 'latest', 'v1', ACME);
      expect(await digestOf('acme/support')).toBe(first.version.digest);
      const details = await store.inspect('acme/support', ACME);
      expect(details.releases.map(({ number }) => number)).toEqual([2, 1]);
      expect(details.tags).toEqual({ latest: first.version.digest, stable: first.version.digest });
    });

    it('keeps one release for the same content pushed twice, and one blob for the same content under two names', async () => {
      const first = await push('acme/support', 0);
      const again = await push('acme/support', 0, ACME, ['again']);
      expect(again.number).toBe(1);
      const elsewhere = await push('other/copy', 0, OTHER);
      expect(elsewhere.version.digest).toBe(first.version.digest);
      const {
        files: [{ path: file }],
        modules,
      } = await store.weights(first.version.digest);
      expect(existsSync(file)).toBe(true);
      expect(modules).toHaveLength(7);
      expect((await readdir(join(file, '..'))).length).toBe(1);
    });

    it('tells nobody of what is not theirs', async () => {
      const { version } = await push('acme/support', 0);
      expect(await digestOf('acme/support', OTHER)).toBeNull();
      expect(await store.list(OTHER, { limit: 10 })).toEqual([]);
      const notFound = { code: 'adapter_not_found', message: "there is no adapter 'acme/support'" };
      await expect(store.inspect('acme/support', OTHER)).rejects.toMatchObject(notFound);
      await expect(store.remove('acme/support', OTHER)).rejects.toMatchObject(notFound);
      await expect(
        store.grant('acme/support', { kind: 'tenant', grantee: 'other' }, OTHER),
      ).rejects.toMatchObject(notFound);
      await expect(push('acme/support', 1, OTHER)).rejects.toMatchObject({ code: 'adapter_name_taken' });

      await store.grant('acme/support', { kind: 'tenant', grantee: 'other' }, ACME);
      expect(await digestOf('acme/support', OTHER)).toBe(version.digest);
      // Who may use it may not change it.
      await expect(store.tag('acme/support', 'mine', 'latest', OTHER)).rejects.toMatchObject(notFound);
      expect((await store.inspect('acme/support', OTHER)).grants).toEqual([]);
      await store.revoke('acme/support', { kind: 'tenant', grantee: 'other' }, ACME);
      expect(await digestOf('acme/support', OTHER)).toBeNull();

      await store.grant('acme/support', { kind: 'key', grantee: 'key-1' }, ACME);
      expect(await digestOf('acme/support', OTHER)).toBe(version.digest);
      expect(await digestOf('acme/support', { tenant: 'other', key: 'key-2' })).toBeNull();
      await store.grant('acme/support', { kind: 'tenant', grantee: EVERYONE }, ACME);
      expect(await digestOf('acme/support', { tenant: 'third', key: null })).toBe(version.digest);
    });

    it('takes names and other text for what they are', async () => {
      await push('acme/support', 0);
      for (const text of ["x' or '1'='1", 'acme/support";--', "acme/support@' or 1=1--", 'acme/%', '']) {
        expect(await digestOf(text, OTHER)).toBeNull();
        await expect(store.inspect(text, ACME)).rejects.toMatchObject({ code: 'adapter_not_found' });
      }
      await store.grant('acme/support', { kind: 'tenant', grantee: "o'; drop table tag;--" }, ACME);
      expect(await digestOf('acme/support')).not.toBeNull();
    });

    it('removes a name with its bytes, unless another name has them', async () => {
      const removed: string[] = [];
      store.onRemoved((digest) => removed.push(digest));
      const shared = await push('acme/support', 0);
      const own = await push('acme/support', 1);
      await push('acme/copy', 0);
      const file = (await store.weights(own.version.digest)).files[0].path;
      expect(await store.remove('acme/support', ACME)).toEqual([own.version.digest]);
      expect(removed).toEqual([own.version.digest]);
      expect(existsSync(file)).toBe(false);
      expect(await digestOf('acme/support')).toBeNull();
      expect(await digestOf('acme/copy')).toBe(shared.version.digest);
      await expect(store.weights(own.version.digest)).rejects.toMatchObject({ code: 'adapter_not_found' });
    });

    it('collects what no tag has referred to for the grace time, but nothing that is pinned', async () => {
      const first = await push('acme/support', 0);
      const second = await push('acme/support', 1);
      await push('acme/support', 2);
      await store.pin('acme/support', second.version.digest, true, ACME);
      now += (GRACE_SECONDS * 1000) / 2;
      expect(await store.collect()).toEqual([]);
      now += GRACE_SECONDS * 1000;
      expect(await store.collect()).toEqual([first.version.digest]);
      expect(await digestOf('acme/support@v1')).toBeNull();
      expect(await digestOf('acme/support@v2')).toBe(second.version.digest);
      await store.pin('acme/support', second.version.digest, false, ACME);
      expect(await store.collect()).toEqual([second.version.digest]);
    });

    it('serves no adapter of another base model, and says so at a push', async () => {
      const { version } = await push('acme/support', 0);
      const other = new AdaptersStore({
        database,
        blobs: new DirectoryBlobs(join(folder, 'other', 'blobs')),
        staging: join(folder, 'other', 'staging'),
        model: { ...SHAPE, digest: 'c'.repeat(64) },
        graceSeconds: GRACE_SECONDS,
      });
      expect(await other.resolve('acme/support', ACME)).toBeNull();
      expect(await other.list(ACME, { limit: 10, servable: true })).toEqual([]);
      expect(await store.list(ACME, { limit: 10, servable: true })).toHaveLength(1);
      const again = { name: 'acme/again', directory: adapters[0]!, source: SOURCE };
      await expect(other.push(again, ACME)).rejects.toMatchObject({ code: 'adapter_of_other_model' });
      expect(await other.list(ACME, { limit: 10 })).toHaveLength(1);
      expect((await store.resolve('acme/support', ACME))?.digest).toBe(version.digest);
      expect((await other.push({ ...again, directory: adapters[1]! }, ACME)).number).toBe(1);
    });

    it('collects what only a removed name had a tag for', async () => {
      const shared = await push('acme/support', 0);
      await push('acme/copy', 0);
      await push('acme/copy', 1);
      await store.remove('acme/support', ACME);
      now += 2 * GRACE_SECONDS * 1000;
      expect(await store.collect()).toEqual([shared.version.digest]);
    });

    it.skipIf(place === 'S3')('clears away what broke off, but not what may still be going on', async () => {
      const { version } = await push('acme/support', 0);
      const file = (await store.weights(version.digest)).files[0].path;
      const copying = join(file, '..', `${version.digest}-${'0'.repeat(16)}.safetensors.tmp`);
      const staged = join(file, '..', '..', '..', 'staging', 'broken-off');
      await mkdir(staged, { recursive: true });
      for (const left of [copying, join(staged, 'adapter_model.safetensors')]) await writeFile(left, 'half');
      const real = now;
      now = Date.now();
      await store.collect();
      expect([existsSync(copying), existsSync(staged)]).toEqual([true, true]);
      now += 2 * 60 * 60 * 1000;
      await store.collect();
      expect([existsSync(copying), existsSync(staged), existsSync(file)]).toEqual([false, false, true]);
      now = real;
    });

    it('writes down every change', async () => {
      await push('acme/support', 0);
      await store.grant('acme/support', { kind: 'tenant', grantee: 'other' }, ACME);
      await store.remove('acme/support', ACME);
      const log = await database
        .selectFrom('audit')
        .select(['action', 'actor', 'details'])
        .orderBy('sequence')
        .execute();
      expect(log.map(({ action }) => action)).toEqual(['adapter.push', 'adapter.grant', 'adapter.delete']);
      expect(await verifyAudit(database)).toMatchObject({ brokenAt: null });
    });

    it('keeps its order under many pushes at once', async () => {
      const releases = await Promise.all(
        Array.from({ length: 24 }, (_, index) => push(`acme/a${index % 4}`, index % 3)),
      );
      for (const { name, version, number } of releases) {
        expect(await digestOf(`${name}@v${number}`)).toBe(version.digest);
        await store.weights(version.digest);
      }
      expect(await verifyAudit(database)).toMatchObject({ brokenAt: null });
    });

    it.each([
      ['a name', { name: '../x' }, 'adapter_field_invalid', 'name'],
      ['a tag', { tags: ['v7'] }, 'adapter_tag_invalid', 'tag'],
      ['a parent', { parent: 'v1' }, 'adapter_field_invalid', 'parent'],
      ['a NUL', { note: 'nul \0' }, 'adapter_field_invalid', 'note'],
      ['a note', { note: 'x'.repeat(5000) }, 'adapter_field_invalid', 'note'],
      ['its size', { limits: { maxBytes: 10, maxRank: 64 } }, 'adapter_too_large', null],
      ['its rank', { limits: { maxBytes: 1e9, maxRank: 2 } }, 'adapter_too_large', 'r'],
    ])('refuses %s that is not allowed, and keeps nothing of it', async (_, fields, code, field) => {
      const refused = store.push(
        { name: 'acme/support', directory: adapters[2]!, source: SOURCE, ...fields },
        ACME,
      );
      await expect(refused).rejects.toMatchObject({ code, field });
      expect(await store.list(ACME, { limit: 10 })).toEqual([]);
    });

    it('refuses files that are no adapter', async () => {
      const directory = join(folder, 'broken');
      await writeRandomAdapter(directory, MODEL, { rank: 1, seed: 1 });
      await writeFile(join(directory, 'adapter_model.safetensors'), 'no');
      await expect(
        store.push({ name: 'acme/support', directory, source: SOURCE }, ACME),
      ).rejects.toMatchObject({
        name: 'AdapterError',
      });
      expect(await digestOf('acme/support')).toBeNull();
    });

    it('remembers folders that were checked, and reads them again once they change', async () => {
      const directory = join(folder, `directory-${stores}`);
      await cp(adapters[0]!, join(directory, 'one'), { recursive: true });
      await cp(adapters[1]!, join(directory, 'two'), { recursive: true });
      const first = new AdapterDirectory(directory, SHAPE);
      const read = await first.scan();
      await store.rememberFolders(first.path, first.checked);
      const checked = await store.checkedFolders(first.path);
      expect(checked.size).toBe(2);
      expect(await new AdapterDirectory(directory, SHAPE).scan({ checked })).toEqual(read);
      // What is remembered is believed: that is how it is seen that the values were not read.
      const believed = new Map(checked).set('one', { ...checked.get('one')!, digest: 'believed' });
      const { adapters: found } = await new AdapterDirectory(directory, SHAPE).scan({ checked: believed });
      expect(found[0]?.digest).toBe('believed');
      await cp(adapters[2]!, join(directory, 'one'), { recursive: true });
      const changed = await new AdapterDirectory(directory, SHAPE).scan({ checked: believed });
      expect(changed.adapters[0]?.digest).toMatch(/^[0-9a-f]{64}$/);
      await store.rememberFolders(first.path, []);
      expect(await store.checkedFolders(first.path)).toEqual(new Map());
    });

    it.runIf(kind === 'PostgreSQL')(
      'tells of a database that does not answer, and goes on when it does',
      async () => {
        const { version } = await push('acme/support', 0);
        const running = Array.from({ length: 50 }, () => push('acme/support', 1));
        postgres?.disconnect();
        for (const outcome of await Promise.allSettled(running)) {
          if (outcome.status === 'fulfilled') continue;
          expect(outcome.reason).toMatchObject({ name: 'StorageError', code: 'storage_unavailable' });
        }
        const found = () => digestOf('acme/support').catch(() => null);
        await expect.poll(found).not.toBeNull();
        expect(await digestOf('acme/support@v1')).toBe(version.digest);
        expect(await verifyAudit(database)).toMatchObject({ brokenAt: null });
        await push('acme/support', 1);
      },
    );

    it.runIf(kind === 'PostgreSQL')('waits only so long for another gateway that hangs', async () => {
      await push('acme/support', 0);
      // One that has taken the adapter's row and does not go on.
      await database.transaction().execute(async (transaction) => {
        await transaction
          .updateTable('adapter')
          .set({ owner: 'acme' } as never)
          .execute();
        const failure = { name: 'StorageError', code: 'storage_unavailable' };
        await expect(store.remove('acme/support', ACME)).rejects.toMatchObject(failure);
        expect(await digestOf('acme/support')).not.toBeNull();
      });
      await store.remove('acme/support', ACME);
    });

    it.each([
      ['', 'empty'],
      ['x'.repeat(257), 'long'],
      ['nul \0', 'odd'],
    ])('refuses a grantee that is %#', async (grantee) => {
      await push('acme/support', 0);
      const granted = store.grant('acme/support', { kind: 'tenant', grantee }, ACME);
      await expect(granted).rejects.toMatchObject({ code: 'adapter_field_invalid', field: 'grantee' });
    });

    it('takes a content again whose file somebody removed', async () => {
      const gone: string[] = [];
      store.onRemoved((digest) => gone.push(digest));
      const { version } = await push('acme/support', 0);
      await lose((await store.weights(version.digest)).files[0].path);
      await expect(store.weights(version.digest)).rejects.toMatchObject({ code: 'blob_missing' });
      expect((await push('acme/support', 0)).number).toBe(1);
      expect((await store.weights(version.digest)).modules).toHaveLength(7);
      expect(gone).toEqual([version.digest]);
    });

    it('keeps each push whole while others remove the same content', async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const name = `acme/a${index % 2}`;
          if (index % 5 === 4)
            return store.remove(name, ACME).then(
              () => null,
              () => null,
            );
          return push(name, 0);
        }),
      );
      expect(outcomes.filter((outcome) => outcome !== null)).toHaveLength(16);
      for (const { digest } of await store.list(ACME, { limit: 10 })) await store.weights(digest);
      expect(await verifyAudit(database)).toMatchObject({ brokenAt: null });
    });

    it('goes back a step and forwards again', async () => {
      expect(await migrateBack(database)).toBe('0006_append_only_audit');
      expect(await migrateBack(database)).toBe('0005_adapter_tasks');
      expect(await migrateBack(database)).toBe('0004_adapter_kinds');
      expect(await migrateBack(database)).toBe('0003_sources');
      expect(await migrateBack(database)).toBe('0002_checked_folders');
      expect(await migrateBack(database)).toBe('0001_adapters');
      expect(await migrateBack(database)).toBeNull();
    });
  });
});
