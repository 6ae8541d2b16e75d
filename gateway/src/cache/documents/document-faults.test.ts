/** Stores of documents that are away, held up, full, killed or lost. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { openCacheDatabase } from '@polylora/adapters-store';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  allHeads,
  DIMENSIONS,
  describeStores,
  document,
  NOW,
  silent,
  unavailable,
  until,
} from '../../../../test/support/documents.ts';
import { type Door, startDoor } from '../../../../test/support/door.ts';
import { HAS_REDIS, startRedis } from '../../../../test/support/redis.ts';
import { mountSmallDisk } from '../../../../test/support/small-disk.ts';
import type { Logger } from '../../logging.ts';
import type { DocumentStore } from './document-store.ts';
import { RedisDocuments } from './redis-documents.ts';
import { SqlDocuments } from './sql-documents.ts';

const WORKER = join(import.meta.dirname, '../../../../test/support/document-worker.mjs');

/** Lines that were logged. */
function recording(): { readonly logger: Logger; readonly lines: () => string[] } {
  const lines: string[] = [];
  const logger = pino({ base: null }, { write: (line: string) => void lines.push(line) });
  return { logger, lines: () => lines.map((line) => JSON.parse(line).msg) };
}

describeStores('what is not there', (tested) => {
  it.skipIf(tested.kind.name === 'Redis')(
    'is read while another holds up changes, and says so once',
    async () => {
      const log = recording();
      const held = await tested.another(tested.location, log.logger);
      const one = document();
      await held.put(one);
      const { working, reading } = await openCacheDatabase<{ cache_state: { last: number } }>(
        tested.location,
      );
      await working.transaction().execute(async (transaction) => {
        await transaction.updateTable('cache_state').set({ last: 0 }).execute();
        expect(await unavailable(() => held.put(document()))).toBeLessThan(4_000);
        expect(await held.get(one.id)).toEqual(one);
        expect(await held.changes(0, 10)).toHaveLength(1);
        expect(await unavailable(() => held.remove([one.id]))).toBeLessThan(100);
      });
      await until(() =>
        held.put(document()).then(
          () => true,
          () => false,
        ),
      );
      expect(log.lines()).toEqual([
        'the database of the cache takes no changes: new answers are not kept',
        'the database of the cache takes changes again',
      ]);
      await Promise.all([working.destroy(), reading.destroy()]);
    },
  );

  describe.skipIf(!tested.kind.isServer)('while the server is away', () => {
    let door: Door;
    let log: ReturnType<typeof recording>;
    let far: DocumentStore;
    const calls = (store: DocumentStore): (() => Promise<unknown>)[] => [
      () => store.get('x'),
      () => store.put(document()),
      () => store.remove(['x']),
      () => store.find({}, { limit: 1 }),
      () => store.addHits(new Map([['x', 1]])),
      () => store.heads(null, 1),
      () => store.lastSequence(),
      () => store.changes(0, 1),
      () => store.sweep(NOW),
    ];

    beforeEach(async () => {
      door = await startDoor(tested.location);
      log = recording();
      far = await tested.another(door.url, log.logger);
      return () => door.close();
    });

    it.each(['shut', 'hang'] as const)('fails fast, says so once, and recovers (%s)', async (how) => {
      const [kept, dropped] = [document(), document()];
      await far.put(kept);
      door[how]();
      expect(await unavailable(() => far.get(kept.id))).toBeLessThan(1_500);
      for (const call of calls(far)) expect(await unavailable(call)).toBeLessThan(300);
      await unavailable(() => far.put(dropped));
      await sleep(2_500);
      for (const call of calls(far)) expect(await unavailable(call)).toBeLessThan(300);
      expect(log.lines().filter((line) => line.includes('away'))).toHaveLength(1);
      door.open();
      await until(() =>
        far.get(kept.id).then(
          (one) => one !== null,
          () => false,
        ),
      );
      await far.put(document());
      expect(await far.get(dropped.id)).toBeNull();
      expect(log.lines()).toHaveLength(2);
      expect(log.lines()[1]).toContain('back');
    });

    it('is opened, and there when the server is', async () => {
      door.shut();
      const late = await tested.another(door.url, silent);
      await unavailable(() => late.lastSequence());
      door.open();
      await until(() =>
        late.lastSequence().then(
          () => true,
          () => false,
        ),
      );
      await late.put(document());
    });

    it('closes in a moment', async () => {
      void far.put(document());
      door.hang();
      const begun = performance.now();
      await far.close();
      tested.isClosed(far);
      expect(performance.now() - begun).toBeLessThan(6_000);
    });
  });
});

describe('documents in a file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'polylora-documents-'));
    return () => rm(folder, { recursive: true });
  });

  it('are whole after the process was killed while it wrote', async () => {
    const file = join(folder, 'cache.db');
    for (const milliseconds of [150, 400, 700]) {
      const worker = spawn(process.execPath, [WORKER, file], { stdio: ['ignore', 'pipe', 'inherit'] });
      const told: string[] = [];
      const lines = createInterface(worker.stdout).on('line', (line) => void told.push(line));
      await once(lines, 'line');
      await sleep(milliseconds);
      worker.kill('SIGKILL');
      await once(worker, 'exit');
      const store = await SqlDocuments.open({ location: file, logger: silent });
      const heads = await allHeads(store, 500);
      const ids = new Set(heads.map(({ id }) => id));
      // A process that is killed loses nothing that it was told is written.
      expect(told.filter((id) => id.length === 36 && !ids.has(id))).toEqual([]);
      for (const { id, vector } of heads) {
        const whole = await store.get(id);
        expect(whole?.question).toBe(whole?.answer.choices[0]?.text);
        expect(whole?.vector).toEqual(vector);
        expect(vector).toEqual(new Float32Array(DIMENSIONS).fill(whole!.signature![0]!));
      }
      const tagged = await store.find({ tag: 'all' }, { limit: 1_000_000 });
      expect(new Set(tagged.map(({ id }) => id))).toEqual(ids);
      await store.close();
    }
  });

  it('are opened by several processes at once, for the first time too', async () => {
    const file = join(folder, 'cache.db');
    const workers = Array.from({ length: 4 }, () =>
      spawn(process.execPath, [WORKER, file], { stdio: ['ignore', 'pipe', 'inherit'] }),
    );
    const told = await Promise.all(
      workers.map(async (worker) => {
        const [line] = await Promise.race([
          once(createInterface(worker.stdout), 'line'),
          once(worker, 'exit').then(() => ['ended']),
        ]);
        return String(line);
      }),
    );
    for (const worker of workers) worker.kill('SIGKILL');
    await Promise.all(workers.map((worker) => worker.exitCode ?? worker.signalCode ?? once(worker, 'exit')));
    const fresh = join(folder, 'fresh.db');
    const stores = await Promise.all(
      Array.from({ length: 8 }, () => SqlDocuments.open({ location: fresh, logger: silent })),
    );
    for (const store of stores) await store.close();
    const store = await SqlDocuments.open({ location: file, logger: silent });
    for (const id of told) expect((await store.get(id))?.id).toBe(id);
    await store.close();
  });

  it('are no documents where the file is something else', async () => {
    const file = join(folder, 'notes.txt');
    await writeFile(file, 'not a database, but long enough to be taken for one'.repeat(100));
    await expect(SqlDocuments.open({ location: file, logger: silent })).rejects.toThrow('cannot be');
    await expect(SqlDocuments.open({ location: folder, logger: silent })).rejects.toThrow('cannot be');
  });

  it('are read while the disk is full, and put again when it is not', async (context) => {
    const unmount = mountSmallDisk(join(folder, 'disk'), 4);
    if (unmount === null) return context.skip();
    const log = recording();
    const store = await SqlDocuments.open({ location: join(folder, 'disk/cache.db'), logger: log.logger });
    try {
      const first = document();
      await store.put(first);
      const large = () => document({ question: 'x'.repeat(400_000) });
      const outcomes = [];
      for (let index = 0; index < 20; index++) {
        outcomes.push(
          await store.put(large()).then(
            () => 'written',
            (error) => error.name,
          ),
        );
      }
      expect(new Set(outcomes)).toEqual(new Set(['written', 'StoreUnavailable']));
      expect(await store.get(first.id)).toEqual(first);
      expect(await allHeads(store)).not.toEqual([]);
      expect(log.lines()).toEqual(['the database of the cache takes no changes: new answers are not kept']);
      execFileSync('mount', ['-o', 'remount,size=64m', join(folder, 'disk')]);
      await until(() =>
        store.put(large()).then(
          () => true,
          () => false,
        ),
      );
      expect(log.lines().at(-1)).toBe('the database of the cache takes changes again');
    } finally {
      await store.close();
      unmount();
    }
  });
});

describe.skipIf(!HAS_REDIS)('documents in a Redis', () => {
  let server: Awaited<ReturnType<typeof startRedis>>;
  let client: Redis;
  let store: RedisDocuments;
  let log: ReturnType<typeof recording>;

  beforeEach(async () => {
    server = await startRedis();
    client = new Redis(server.url);
    client.on('error', () => {});
    log = recording();
    store = await RedisDocuments.open({ url: server.url, prefix: 'cache', logger: log.logger });
    return async () => {
      await store.close();
      client.disconnect();
      await server.stop();
    };
  });

  it('have all their keys under the prefix, and none stays for ever', async () => {
    const [one, two] = [document({ tags: ['a', 'b'] }), document()];
    await Promise.all([store.put(one), store.put(two)]);
    await store.addHits(new Map([[one.id, 1]]));
    await store.remove([two.id]);
    const keys = await client.keys('*');
    expect(keys.filter((key) => !key.startsWith('cache:'))).toEqual([]);
    for (const key of keys) expect([key, await client.pttl(key)]).not.toEqual([key, -1]);
    await store.remove([one.id]);
    expect((await client.keys('*')).sort()).toEqual(['cache:removed', 'cache:state']);
  });

  it('are gone, and readers are told so, where Redis has itself let go of them', async () => {
    const [kept, gone] = [document(), document()];
    await Promise.all([store.put(kept), store.put(gone)]);
    const last = await store.lastSequence();
    await client.del(`cache:entry:${gone.id}`);
    expect(await store.get(gone.id)).toBeNull();
    expect((await allHeads(store)).map(({ id }) => id)).toEqual([kept.id]);
    expect(await store.find({}, { limit: 10 })).toHaveLength(1);
    expect(await store.sweep(NOW + 4_000_000)).toBe(2);
    expect(await store.changes(last, 10)).toHaveLength(2);
  });

  it('are begun anew where Redis has lost them', async () => {
    const before = document();
    await store.put(before);
    const last = await store.lastSequence();
    await server.stop();
    await unavailable(() => store.get(before.id));
    server = await startRedis(server.port);
    await until(() =>
      store.lastSequence().then(
        () => true,
        () => false,
      ),
    );
    await store.put(document());
    expect(await store.changes(last, 10)).toBeNull();
    expect(await store.lastSequence()).toBeGreaterThan(last);
    expect(log.lines()).toEqual([
      'the Redis of the cache is away: the cache goes on without it',
      'the Redis of the cache is back',
    ]);
  });

  it('are read and removed while Redis is full', async () => {
    const one = document();
    await store.put(one);
    await client.config('SET', 'maxmemory', '1mb');
    await unavailable(() => store.put(document()));
    expect(await store.get(one.id)).toEqual(one);
    await sleep(1_100);
    await store.remove([one.id]);
    expect(await store.get(one.id)).toBeNull();
    await client.config('SET', 'maxmemory', '0');
    await until(() =>
      store.put(document()).then(
        () => true,
        () => false,
      ),
    );
    expect(log.lines()[0]).toBe('the Redis of the cache takes no changes: new answers are not kept');
  });
});
