/** The cache's document stores, as tests open them. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, vi } from 'vitest';
import {
  type DocumentStore,
  type EntryFilter,
  type ListedHead,
  StoreUnavailable,
} from '../../gateway/src/cache/documents/document-store.ts';
import { RedisDocuments } from '../../gateway/src/cache/documents/redis-documents.ts';
import { SqlDocuments } from '../../gateway/src/cache/documents/sql-documents.ts';
import type { CacheDocument } from '../../gateway/src/cache/entry.ts';
import { createLogger, type Logger } from '../../gateway/src/logging.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from './postgres.ts';
import { HAS_REDIS, type RedisServer, startRedis } from './redis.ts';

export const silent = createLogger('silent');
export const DIMENSIONS = 384;
/** Redis lets go by its own time of day what has long expired. */
export const NOW = Date.now();

export function document(more: Partial<CacheDocument> = {}): CacheDocument {
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
export function listed(
  { vector, signature, answer, question, ...head }: CacheDocument,
  hits = 0,
): ListedHead {
  return { ...head, hits };
}

export async function allHeads(store: DocumentStore, limit = 100) {
  const heads = [];
  for (let cursor: string | null = null; ; ) {
    const page = await store.heads(cursor, limit);
    heads.push(...page.heads);
    cursor = page.cursor;
    if (cursor === null) return heads;
  }
}

export async function allFound(store: DocumentStore, filter: EntryFilter, limit: number): Promise<string[]> {
  const ids: string[] = [];
  let before: ListedHead | undefined;
  for (;;) {
    const page = await store.find(filter, before === undefined ? { limit } : { limit, before });
    ids.push(...page.map(({ id }) => id));
    before = page.at(-1);
    if (page.length < limit) return ids;
  }
}

export async function until(isSo: () => Promise<boolean> | boolean, milliseconds = 15_000): Promise<void> {
  const deadline = performance.now() + milliseconds;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('it does not come to be');
    await sleep(20);
  }
}

/** How long a call took that found the store away. */
export async function unavailable(call: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await expect(call()).rejects.toBeInstanceOf(StoreUnavailable);
  return performance.now() - begun;
}

export interface Kind {
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

/** A store of a kind, empty before each test. */
export interface TestedStore {
  readonly kind: Kind;
  readonly location: string;
  readonly store: DocumentStore;
  /** Opened by another server, until the test ends. */
  another(at?: string, logger?: Logger): Promise<DocumentStore>;
  /** A test has closed it itself. */
  isClosed(store: DocumentStore): void;
}

/** Defines the tests of a topic, for each kind of store. */
export function describeStores(topic: string, define: (tested: TestedStore) => void): void {
  describe.each([sqlite(), postgres(), redis()])(`${topic} in $name`, (kind) => {
    if (kind.missing !== null) console.warn(`${kind.missing}: its documents are not tested`);
    describe.skipIf(kind.missing !== null)('', () => {
      const opened: DocumentStore[] = [];
      let location: string;
      let store: DocumentStore;
      const tested: TestedStore = {
        kind,
        get location() {
          return location;
        },
        get store() {
          return store;
        },
        async another(at = location, logger?: Logger) {
          const one = await kind.open(at, logger);
          opened.push(one);
          return one;
        },
        isClosed: (one) => void opened.splice(opened.indexOf(one), 1),
      };
      beforeAll(() => kind.start());
      afterAll(() => kind.stop());
      beforeEach(async () => {
        location = await kind.location();
        store = await tested.another();
      });
      afterEach(async () => {
        for (const one of opened.splice(0)) await one.close();
      });
      define(tested);
    });
  });
}
