import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { openCacheDatabase } from '@polylora/adapters-store';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Door, startDoor } from '../../../../test/support/door.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from '../../../../test/support/postgres.ts';
import { HAS_REDIS, type RedisServer, startRedis } from '../../../../test/support/redis.ts';
import { mountSmallDisk } from '../../../../test/support/small-disk.ts';
import { createLogger, type Logger } from '../../logging.ts';
import type { CacheDocument } from '../entry.ts';
import {
  type DocumentChange,
  type DocumentStore,
  type EntryFilter,
  type ListedHead,
  StoreUnavailable,
} from './document-store.ts';
import { RedisDocuments } from './redis-documents.ts';
import { SqlDocuments } from './sql-documents.ts';

const silent = createLogger('silent');
const DIMENSIONS = 384;
const WORKER = join(import.meta.dirname, '../../../../test/support/document-worker.mjs');
/** Redis lets go by its own time of day what has long expired. */
const NOW = Date.now();

function document(more: Partial<CacheDocument> = {}): CacheDocument {
  const id = more.id ?? randomUUID();
  const usage = { promptTokens: 7, completionTokens: 3, cachedPromptTokens: 0 };
  const toolCalls = [{ id: 'call_1', name: 'look', arguments: '{"at":"é"}' }];
  return {
    ...{
      id,
      server: 'test',
      partition: 'partition',
      exactKey: `key ${id}`,
      tenant: 'acme',
      model: 'base',
      root: 'qwen',
    },
    ...{ category: 'general', tags: [], createdAt: NOW, expiresAt: NOW + 3_600_000, bytes: 2_000 },
    ...{ computeSeconds: 1.25, promptTokens: 7, completionTokens: 3, question: `What is ${id}?` },
    encoder: 'minilm',
    vector: more.vector ?? Float32Array.from({ length: DIMENSIONS }, () => Math.random() - 0.5),
    signature: Uint8Array.from({ length: 40 }, (_, index) => (index * 7) % 256),
    answer: { choices: [{ text: `It is ${id}.`, toolCalls, reason: 'stop', stopReason: null, usage }] },
    ...more,
  };
}

/** What a list has of it. */
function listed({ vector, signature, answer, question, ...head }: CacheDocument, hits = 0): ListedHead {
  return { ...head, hits };
}

async function allHeads(store: DocumentStore, limit = 100) {
  const heads = [];
  for (let cursor: string | null = null; ; ) {
    const page = await store.heads(cursor, limit);
    heads.push(...page.heads);
    cursor = page.cursor;
    if (cursor === null) return heads;
  }
}

async function allFound(store: DocumentStore, filter: EntryFilter, limit: number): Promise<string[]> {
  const ids: string[] = [];
  let before: ListedHead | undefined;
  for (;;) {
    const page = await store.find(filter, before === undefined ? { limit } : { limit, before });
    ids.push(...page.map(({ id }) => id));
    before = page.at(-1);
    if (page.length < limit) return ids;
  }
}

/** Reads changes from a number on, as a server does. */
class Reader {
  readonly changes: DocumentChange[] = [];
  readonly there = new Set<string>();
  readonly #store: DocumentStore;
  readonly #limit: number;
  #after: number;

  constructor(store: DocumentStore, after: number, limit = 50) {
    this.#store = store;
    this.#after = after;
    this.#limit = limit;
  }

  async read(): Promise<void> {
    for (;;) {
      const some = await this.#store.changes(this.#after, this.#limit);
      if (some === null) throw new Error('changes are forgotten');
      for (const change of some) {
        expect(change.sequence).toBeGreaterThan(this.#after);
        this.#after = change.sequence;
        this.changes.push(change);
        if (change.kind === 'put') this.there.add(change.head.id);
        else this.there.delete(change.id);
      }
      if (some.length < this.#limit) return;
    }
  }
}

/** Lines that were logged. */
function recording(): { readonly logger: Logger; readonly lines: () => string[] } {
  const lines: string[] = [];
  const logger = pino({ base: null }, { write: (line: string) => void lines.push(line) });
  return { logger, lines: () => lines.map((line) => JSON.parse(line).msg) };
}

async function until(isSo: () => Promise<boolean> | boolean, milliseconds = 15_000): Promise<void> {
  const deadline = performance.now() + milliseconds;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('it does not come to be');
    await sleep(20);
  }
}

/** How long a call took that found the store away. */
async function unavailable(call: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await expect(call()).rejects.toBeInstanceOf(StoreUnavailable);
  return performance.now() - begun;
}

interface Kind {
  readonly name: string;
  readonly missing: string | null;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Where an empty store is. */
  location(): Promise<string>;
  open(location: string, logger?: Logger): Promise<DocumentStore>;
  /** Whether it is a server, which may be away. */
  readonly isServer: boolean;
  /** Changes from here on have numbers of so much later. */
  passHours(location: string, hours: number): Promise<void>;
}

function sqlite(): Kind {
  let folder = '';
  return {
    ...{ name: 'SQLite', missing: null, isServer: false, passHours: passOnClock },
    async start() {
      folder = await mkdtemp(join(tmpdir(), 'polylora-documents-'));
    },
    stop: () => rm(folder, { recursive: true }),
    location: async () => join(folder, `${randomUUID()}.db`),
    open: (location, logger = silent) => SqlDocuments.open({ location, logger }),
  };
}

function postgres(): Kind {
  const programs = postgresPrograms();
  let server: PostgresServer;
  return {
    name: 'PostgreSQL',
    missing: programs === null ? 'PostgreSQL is not installed' : null,
    async start() {
      server = await startPostgres(programs!);
    },
    stop: () => server.stop(),
    location: () => server.url(),
    open: (location, logger = silent) => SqlDocuments.open({ location, logger }),
    ...{ isServer: true, passHours: passOnClock },
  };
}

function redis(): Kind {
  let server: RedisServer;
  return {
    name: 'Redis',
    missing: HAS_REDIS ? null : 'Redis is not installed',
    async start() {
      server = await startRedis();
    },
    stop: () => server.stop(),
    // The store's prefix is in the URL, for these tests alone.
    location: async () => `${server.url}/0?${randomUUID()}`,
    open: (location, logger = silent) => RedisDocuments.open({ ...redisOf(location), logger }),
    isServer: true,
    async passHours(location, hours) {
      const { url, prefix } = redisOf(location);
      const client = new Redis(url);
      await client.hincrby(`${prefix}:state`, 'last', hours * 3600e6);
      await client.quit();
    },
  };
}

function redisOf(location: string): { readonly url: string; readonly prefix: string } {
  const url = new URL(location);
  const prefix = `polylora:cache:${url.search.slice(1)}`;
  url.search = '';
  return { url: url.href, prefix };
}

async function passOnClock(_location: string, hours: number): Promise<void> {
  const later = Date.now() + hours * 3600e3;
  vi.spyOn(Date, 'now').mockReturnValue(later);
}

describe.each([sqlite(), postgres(), redis()])('documents in $name', (kind) => {
  if (kind.missing !== null) console.warn(`${kind.missing}: its documents are not tested`);
  describe.skipIf(kind.missing !== null)('', () => {
    let location: string;
    let store: DocumentStore;
    const opened: DocumentStore[] = [];
    const another = async (at = location, logger?: Logger) => {
      const one = await kind.open(at, logger);
      opened.push(one);
      return one;
    };

    beforeAll(() => kind.start());
    afterAll(() => kind.stop());
    beforeEach(async () => {
      location = await kind.location();
      store = await another();
    });
    afterEach(async () => {
      for (const one of opened.splice(0)) await one.close();
    });

    it('gives back what was put, before and after it is written', async () => {
      const all = [
        document({ tags: ['a', 'b', 'a'] }),
        document({ vector: null, signature: null, question: null }),
        document({ signature: new Uint8Array(1), createdAt: NOW + 0.5 }),
      ];
      const written = Promise.all(all.map((one) => store.put(one)));
      for (const one of all) expect(await store.get(one.id)).toEqual(one);
      await written;
      const other = await another();
      for (const one of all) {
        expect(await store.get(one.id)).toEqual(one);
        expect(await other.get(one.id)).toEqual(one);
      }
      expect(await store.get('none')).toBeNull();
    });

    it('keeps a vector so that no cosine changes', async () => {
      const one = document();
      await store.put(one);
      expect((await store.get(one.id))?.vector).toEqual(one.vector);
      expect((await allHeads(store))[0]?.vector).toEqual(one.vector);
    });

    it('replaces a document whole, and keeps its hits', async () => {
      const first = document({ tags: ['old'], tenant: 'a', category: 'x' });
      await store.put(first);
      await store.addHits(new Map([[first.id, 3]]));
      const second = document({ id: first.id, tags: ['new'], tenant: 'b', createdAt: NOW + 5, vector: null });
      await store.put(second);
      expect(await store.get(first.id)).toEqual(second);
      expect(await store.find({ tag: 'old' }, { limit: 9 })).toEqual([]);
      expect(await store.find({ tenant: 'a' }, { limit: 9 })).toEqual([]);
      expect(await store.find({ category: 'x' }, { limit: 9 })).toEqual([]);
      expect(await store.find({ tag: 'new', tenant: 'b' }, { limit: 9 })).toEqual([listed(second, 3)]);
      expect(await allHeads(store)).toEqual([{ ...listed(second, 3), vector: null }]);
      const third = document({ id: first.id });
      await Promise.all([store.put(first), store.put(third)]);
      expect(await store.get(first.id)).toEqual(third);
    });

    it('removes, also what is not yet written', async () => {
      const [kept, written, unwritten] = [document(), document(), document()];
      await Promise.all([store.put(kept), store.put(written)]);
      const put = store.put(unwritten);
      await store.remove([written.id, unwritten.id, 'none']);
      await put;
      expect(await store.get(written.id)).toBeNull();
      expect(await store.get(unwritten.id)).toBeNull();
      expect(await store.get(kept.id)).toEqual(kept);
      expect((await allHeads(store)).map(({ id }) => id)).toEqual([kept.id]);
      await store.remove([]);
    });

    it('finds by all that is given, newest first, in pages', async () => {
      const all = Array.from({ length: 700 }, (_, index) =>
        document({
          ...{ tenant: `tenant ${index % 3}`, model: `model ${index % 5}`, root: `root ${index % 2}` },
          ...{ category: `category ${index % 7}`, tags: [`tag ${index % 4}`, 'every'] },
          // Many at the same time.
          createdAt: NOW + Math.floor(index / 300),
        }),
      );
      await Promise.all(all.map((one) => store.put(one)));
      const filters: EntryFilter[] = [
        {},
        { tenant: 'tenant 1' },
        { model: 'model 2' },
        { root: 'root 0' },
        { category: 'category 6' },
        { tag: 'tag 3' },
        { tag: 'every' },
        { tenant: 'tenant 2', tag: 'tag 1' },
        { tenant: 'tenant 0', model: 'model 4', root: 'root 1', category: 'category 2', tag: 'every' },
        { id: all[5]!.id },
        { id: all[5]!.id, tenant: all[5]!.tenant, tag: 'every' },
        { id: all[5]!.id, tenant: 'tenant 0' },
        { tenant: 'tenant' },
        { tag: 'tag %' },
      ];
      for (const filter of filters) {
        const wanted = all.filter(
          (one) =>
            (filter.id ?? one.id) === one.id &&
            (filter.tenant ?? one.tenant) === one.tenant &&
            (filter.model ?? one.model) === one.model &&
            (filter.root ?? one.root) === one.root &&
            (filter.category ?? one.category) === one.category &&
            (filter.tag === undefined || one.tags.includes(filter.tag)),
        );
        const found = await allFound(store, filter, 67);
        expect(new Set(found)).toEqual(new Set(wanted.map(({ id }) => id)));
        expect(found).toHaveLength(wanted.length);
        const times = found.map((id) => all.find((one) => one.id === id)!.createdAt);
        expect(times).toEqual([...times].sort((a, b) => b - a));
      }
      expect(await store.find({ id: all[5]!.id }, { limit: 1 })).toEqual([listed(all[5]!)]);
    });

    it('goes on with the next page where the last of the page before is gone', async () => {
      const all = Array.from({ length: 30 }, (_, index) => document({ createdAt: NOW - index }));
      await Promise.all(all.map((one) => store.put(one)));
      const [before] = (await store.find({}, { limit: 10 })).slice(-1);
      await store.remove(all.slice(0, 10).map(({ id }) => id));
      const next = await store.find({}, { limit: 10, before: before! });
      expect(next.map(({ id }) => id)).toEqual(all.slice(10, 20).map(({ id }) => id));
    });

    it('gives all heads while others are put, replaced and removed', async () => {
      const steady = Array.from({ length: 400 }, () => document());
      const fleeting = Array.from({ length: 100 }, () => document());
      await Promise.all([...steady, ...fleeting].map((one) => store.put(one)));
      const other = await another();
      let isOver = false;
      const changing = (async () => {
        for (let round = 0; !isOver; round++) {
          const replaced = steady.slice((round * 40) % 400).slice(0, 40);
          await Promise.all([...replaced, document()].map((one) => other.put(one)));
          await other.remove(
            fleeting
              .slice(round * 10)
              .slice(0, 10)
              .map(({ id }) => id),
          );
        }
      })();
      for (let round = 0; round < 5; round++) {
        const ids = new Set<string>();
        let cursor: string | null = null;
        do {
          const page: Awaited<ReturnType<DocumentStore['heads']>> = await store.heads(cursor, 30);
          for (const { id } of page.heads) ids.add(id);
          cursor = page.cursor;
          await sleep(5);
        } while (cursor !== null);
        expect(steady.filter(({ id }) => !ids.has(id))).toEqual([]);
      }
      isOver = true;
      await changing;
    });

    it('tells other servers what was put and removed, in order', async () => {
      const other = await another();
      const before = document({ tags: ['x'] });
      await store.put(before);
      const reader = new Reader(other, await other.lastSequence());
      await reader.read();
      expect(reader.changes).toEqual([]);
      const [first, second] = [document(), document({ vector: null })];
      await store.put(first);
      await store.put(second);
      await store.remove([before.id]);
      await reader.read();
      expect(reader.changes.map(({ sequence, ...change }) => change)).toEqual([
        { kind: 'put', head: { ...listed(first), vector: first.vector } },
        { kind: 'put', head: { ...listed(second), vector: null } },
        { kind: 'remove', id: before.id },
      ]);
      await store.remove([first.id]);
      await store.put(first);
      await store.remove([second.id]);
      await store.addHits(new Map([[first.id, 1]]));
      await reader.read();
      expect([...reader.there]).toEqual([first.id]);
      expect(await other.lastSequence()).toBe(reader.changes.at(-1)?.sequence);
    });

    it('tells every change of eight servers that write at once', async () => {
      const servers = await Promise.all(Array.from({ length: 8 }, () => another()));
      const readers = await Promise.all(
        [3, 1000].map(async (limit) => {
          const one = await another();
          return new Reader(one, await one.lastSequence(), limit);
        }),
      );
      let isOver = false;
      const reading = readers.map(async (reader) => {
        while (!isOver) await reader.read();
        await reader.read();
      });
      const kept = await Promise.all(
        servers.map(async (server) => {
          const ids: string[] = [];
          for (let round = 0; round < 12; round++) {
            const some = Array.from({ length: 9 }, () => document({ vector: null }));
            await Promise.all(some.map((one) => server.put(one)));
            const [gone = '', ...others] = some.map(({ id }) => id);
            await server.remove([gone]);
            ids.push(...others);
          }
          return ids;
        }),
      );
      isOver = true;
      await Promise.all(reading);
      const wanted = kept.flat().sort();
      expect((await allHeads(store)).map(({ id }) => id).sort()).toEqual(wanted);
      for (const { there } of readers) expect([...there].sort()).toEqual(wanted);
    });

    it('says so where a number is not one of its own', async () => {
      await store.put(document());
      const last = await store.lastSequence();
      expect(await store.changes(last, 10)).toEqual([]);
      expect(await store.changes(last + 1, 10)).toBeNull();
    });

    it('adds hits together, of all servers', async () => {
      const [one, two] = [document(), document()];
      await Promise.all([store.put(one), store.put(two)]);
      const other = await another();
      await Promise.all([
        store.addHits(
          new Map([
            [one.id, 2],
            [two.id, 1],
            ['none', 5],
          ]),
        ),
        other.addHits(new Map([[one.id, 40]])),
      ]);
      const heads = new Map((await allHeads(store)).map(({ id, hits }) => [id, hits]));
      expect(heads).toEqual(
        new Map([
          [one.id, 42],
          [two.id, 1],
        ]),
      );
      expect(await store.get('none')).toBeNull();
    });

    it('sweeps what has expired, and tells of it', async () => {
      const old = Array.from({ length: 600 }, () => document({ expiresAt: NOW + 1_000 }));
      const young = document({ expiresAt: NOW + 2_000 });
      await Promise.all([...old, young].map((one) => store.put(one)));
      const other = await another();
      const reader = new Reader(other, await other.lastSequence(), 1000);
      expect(await store.sweep(NOW + 999)).toBe(0);
      expect(await store.sweep(NOW + 1_000)).toBe(600);
      await reader.read();
      expect(reader.changes).toHaveLength(600);
      expect((await allHeads(store)).map(({ id }) => id)).toEqual([young.id]);
      expect(await store.find({ tenant: 'acme' }, { limit: 1000 })).toHaveLength(1);
    });

    it('keeps what nobody could have made up', async () => {
      const names = [
        `'; drop table cache_entry; --`,
        '"',
        '%',
        '_',
        '\\',
        '\0',
        'a\0b',
        '\ud800',
        '\udfff\ud800',
        '\ufffd',
        '',
        ' ',
        'tag:all *',
        'é',
        'e\u0301',
        '\u{1f600}',
        'x'.repeat(100_000),
        `${'x'.repeat(100_000)}y`,
      ];
      const all = names.map((name) =>
        document({
          ...{ tenant: name, model: name, root: name, category: name, tags: [name], partition: name },
          ...{ exactKey: name, question: name },
          answer: {
            choices: [{ ...document().answer.choices[0]!, text: name, stopReason: name }],
          },
        }),
      );
      await Promise.all(all.map((one) => store.put(one)));
      for (const [index, one] of all.entries()) {
        expect(await store.get(one.id)).toEqual(one);
        for (const field of ['tenant', 'model', 'root', 'category', 'tag'] as const) {
          const found = await store.find({ [field]: names[index] }, { limit: 100 });
          expect(found).toEqual([listed(one)]);
        }
        if (names[index] !== '') expect(await store.get(names[index]!)).toBeNull();
        expect(await store.find({ id: names[index]! }, { limit: 1 })).toEqual([]);
        await store.remove([names[index]!]);
        await store.addHits(new Map([[names[index]!, 1]]));
      }
      expect(await allHeads(store)).toHaveLength(names.length);
    });

    it('finds and removes among many in a moment, and holds nobody up', async () => {
      const count = 12_000;
      const vector = new Float32Array(DIMENSIONS).fill(0.05);
      const all = Array.from({ length: count }, (_, index) =>
        document({
          ...{ tenant: index % 2 === 0 ? 'half' : 'rest', tags: [`tag ${index % 10}`], vector },
          createdAt: NOW + index,
        }),
      );
      for (let begin = 0; begin < count; begin += 2_000) {
        await Promise.all(all.slice(begin, begin + 2_000).map((one) => store.put(one)));
      }
      const timed = async (work: () => Promise<unknown>): Promise<number> => {
        const begun = performance.now();
        await work();
        return performance.now() - begun;
      };
      // Each is a few milliseconds by an index.
      expect(await timed(() => store.find({ tenant: 'half' }, { limit: 100 }))).toBeLessThan(250);
      expect(await timed(() => store.find({ tag: 'tag 3' }, { limit: 100 }))).toBeLessThan(250);
      expect(await timed(() => store.get(all[77]!.id))).toBeLessThan(100);
      const delay = monitorEventLoopDelay({ resolution: 1 });
      delay.enable();
      const [tagged, half] = await Promise.all([
        allFound(store, { tag: 'tag 3' }, 1_000),
        allFound(store, { tenant: 'half' }, 1_000),
      ]);
      expect(await timed(() => store.remove(tagged))).toBeLessThan(5_000);
      expect(await timed(() => store.remove(half))).toBeLessThan(15_000);
      delay.disable();
      expect(delay.percentile(99) / 1e6).toBeLessThan(100);
      expect(await store.find({ tag: 'tag 3' }, { limit: 1 })).toEqual([]);
      expect((await allHeads(store, 1_000)).length).toBe((count * 4) / 10);
    });

    it('forgets old removals, and says so to who has not read them', async () => {
      const [gone, kept] = [document(), document()];
      await Promise.all([store.put(gone), store.put(kept)]);
      const before = await store.lastSequence();
      await store.remove([gone.id]);
      await store.sweep(NOW);
      expect(await store.changes(before, 10)).toMatchObject([{ kind: 'remove', id: gone.id }]);
      const removed = await store.lastSequence();
      await kind.passHours(location, 2);
      await store.put(document());
      vi.restoreAllMocks();
      await store.sweep(NOW);
      expect(await store.changes(before, 10)).toBeNull();
      expect(await store.changes(removed, 10)).toMatchObject([{ kind: 'put' }]);
      expect(await allHeads(store)).toHaveLength(2);
    });

    it.skipIf(kind.name === 'Redis')('is read while another holds up changes, and says so once', async () => {
      const log = recording();
      const held = await another(location, log.logger);
      const one = document();
      await held.put(one);
      const { working, reading } = await openCacheDatabase<{ cache_state: { last: number } }>(location);
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
    });

    describe.skipIf(!kind.isServer)('while the server is away', () => {
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
        door = await startDoor(location);
        log = recording();
        far = await another(door.url, log.logger);
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
        const late = await another(door.url, silent);
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
        opened.splice(opened.indexOf(far), 1);
        expect(performance.now() - begun).toBeLessThan(6_000);
      });
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
