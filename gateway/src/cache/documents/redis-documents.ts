import { hash } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Logger } from '../../logging.ts';
import type { CacheDocument, EntryHead } from '../entry.ts';
import { Availability } from './availability.ts';
import type {
  DocumentBody,
  DocumentChange,
  DocumentStore,
  EntryFilter,
  ListedHead,
  StoredHead,
} from './document-store.ts';
import {
  bodyText,
  headText,
  keyOf,
  listedHead,
  storedBody,
  storedDocument,
  vectorBytes,
  vectorOf,
} from './encoding.ts';
import { CHANGES, FIND, FORGET, HEADS, HIT, LAST, PUT, REMOVE } from './redis-scripts.ts';
import { WriteQueue } from './write-queue.ts';

const CONNECT_MILLISECONDS = 1_000;
const MOST_RECONNECT_MILLISECONDS = 1_000;
/** Changed or looked at in one step, in which Redis does nothing else. */
const TOGETHER = 250;
/** Removals are told for so long after they were made. */
const TOLD_MICROSECONDS = 3600 * 1_000_000;
const NOTHING = Buffer.alloc(0);
/** What Redis says to a change that it does not take: it is full, a replica, or cannot write to its disk. */
const REFUSALS = /\b(OOM|READONLY|MISCONF|NOREPLICAS)\b/;

/** By which Redis knows them after the first time. */
const SHAS = new Map(
  [CHANGES, FIND, FORGET, HEADS, HIT, LAST, PUT, REMOVE].map((script) => [
    script,
    hash('sha1', script, 'hex'),
  ]),
);

export interface RedisDocumentsOptions {
  /** `redis://…` */
  readonly url: string;
  /** Beginning of all keys: the same for all gateways of a cache, and no others. */
  readonly prefix: string;
  readonly logger: Logger;
}

/** Of an entry: its id, the number by which the set is ordered, and the fields that were asked for. */
type Found = readonly [
  id: Buffer,
  score: Buffer,
  head: Buffer | null,
  hits: Buffer | null,
  ...(Buffer | null)[],
];

/**
 * Documents in Redis, from version 6 on. Each change is one step of Redis', which gives it a number: so they are seen in the order of these.
 * How the keys are laid out, and when Redis itself lets them go, is said with the scripts.
 */
export class RedisDocuments implements DocumentStore {
  readonly #redis: Redis;
  readonly #prefix: string;
  readonly #availability: Availability;
  readonly #queue = new WriteQueue((documents) => this.#put(documents));

  private constructor({ url, prefix, logger }: RedisDocumentsOptions) {
    this.#prefix = prefix;
    this.#availability = new Availability({
      name: 'the Redis of the cache',
      probe: () => this.#probe(),
      isRefusal: (error) => error instanceof Error && REFUSALS.test(error.message),
      logger,
    });
    this.#redis = new Redis(url, {
      connectTimeout: CONNECT_MILLISECONDS,
      maxRetriesPerRequest: 0,
      // What is asked while it is away fails at once.
      enableOfflineQueue: false,
      retryStrategy: (times) => Math.min(times * 50, MOST_RECONNECT_MILLISECONDS),
    });
    this.#redis.on('error', (error) => this.#availability.failed(error));
    this.#redis.on('close', () => this.#availability.failed(new Error('the connection to Redis ended')));
  }

  /** Connects. A Redis that is away is no error. */
  static async open(options: RedisDocumentsOptions): Promise<RedisDocuments> {
    const documents = new RedisDocuments(options);
    const redis = documents.#redis;
    const late = new AbortController();
    const ready = once(redis, 'ready', { signal: late.signal });
    const waited = sleep(2 * CONNECT_MILLISECONDS, null, { ref: false });
    await Promise.race([ready, once(redis, 'close', { signal: late.signal }), waited]).catch(() => {});
    late.abort();
    if (redis.status !== 'ready') documents.#availability.failed(new Error('Redis does not answer'));
    return documents;
  }

  put(document: CacheDocument): Promise<void> {
    return this.#queue.put(document);
  }

  async get(id: string): Promise<CacheDocument | null> {
    const unwritten = this.#queue.find([id]).found.get(id);
    if (unwritten !== undefined) return unwritten;
    const [head = null, body = null, vector = null, signature = null] = await this.#availability.read(() =>
      this.#redis.hmgetBuffer(this.#entryKey(id), 'head', 'body', 'vector', 'signature'),
    );
    if (head === null || body === null) return null;
    return storedDocument(String(head), String(body), something(vector), something(signature));
  }

  async bodies(ids: readonly string[]): Promise<ReadonlyMap<string, DocumentBody>> {
    const { found, missing } = this.#queue.find(ids);
    if (missing.length === 0) return found;
    // Asked at once, they go in one piece.
    const entries = await this.#availability.read(() =>
      Promise.all(missing.map((id) => this.#redis.hmgetBuffer(this.#entryKey(id), 'body', 'signature'))),
    );
    const bodies = new Map<string, DocumentBody>(found);
    for (const [index, id] of missing.entries()) {
      const [body = null, signature = null] = entries[index] ?? [];
      if (body !== null) bodies.set(id, storedBody(String(body), something(signature)));
    }
    return bodies;
  }

  async remove(ids: readonly string[]): Promise<void> {
    await this.#remove(ids);
  }

  async find(
    filter: EntryFilter,
    { limit, before }: { readonly limit: number; readonly before?: Pick<EntryHead, 'id' | 'createdAt'> },
  ): Promise<readonly ListedHead[]> {
    const found: ListedHead[] = [];
    for await (const heads of this.#matching(filter, before)) {
      found.push(...heads);
      if (found.length >= limit) break;
    }
    return found.slice(0, limit);
  }

  async addHits(hits: ReadonlyMap<string, number>): Promise<void> {
    const all = [...hits];
    for (let begin = 0; begin < all.length; begin += TOGETHER) {
      const some = all.slice(begin, begin + TOGETHER).flat();
      await this.#queue.after(() => this.#availability.write(() => this.#run(HIT, some)));
    }
  }

  async heads(
    cursor: string | null,
    limit: number,
  ): Promise<{ readonly heads: readonly StoredHead[]; readonly cursor: string | null }> {
    const found = await this.#availability.read(() => this.#run<Found[]>(HEADS, [cursor ?? '0', limit]));
    return {
      // By the number of its last change: what is replaced while all are read comes once more, and nothing is left out.
      heads: found.flatMap((entry) => storedHead(entry) ?? []),
      cursor: found.length < limit ? null : String(found.at(-1)?.[1]),
    };
  }

  async lastSequence(): Promise<number> {
    return Number(await this.#availability.read(() => this.#run<Buffer>(LAST, [])));
  }

  async changes(after: number, limit: number): Promise<readonly DocumentChange[] | null> {
    const found = await this.#availability.read(() => this.#run<Found[] | null>(CHANGES, [after, limit]));
    if (found === null) return null;
    return found.map((entry) => {
      const [id, sequence] = entry;
      const head = storedHead(entry);
      return head === null
        ? { sequence: Number(sequence), kind: 'remove', id: String(id) }
        : { sequence: Number(sequence), kind: 'put', head };
    });
  }

  async sweep(now: number): Promise<number> {
    let removed = 0;
    for (;;) {
      const ids = await this.#availability.read(() =>
        this.#redis.zrangebyscore(`${this.#prefix}:ends`, '-inf', Math.floor(now), 'LIMIT', 0, TOGETHER),
      );
      removed += await this.#remove(ids);
      if (ids.length < TOGETHER) break;
    }
    await this.#availability.write(() => this.#run(FORGET, [TOLD_MICROSECONDS]));
    return removed;
  }

  async close(): Promise<void> {
    await this.#queue.after(async () => {});
    await this.#availability.close();
    const said = this.#redis.quit().catch(() => {});
    await Promise.race([said, sleep(CONNECT_MILLISECONDS, null, { ref: false })]);
    this.#redis.disconnect();
  }

  async #put(documents: readonly CacheDocument[]): Promise<void> {
    const values = documents.flatMap((document) => [
      document.id,
      Math.round(document.createdAt),
      Math.round(document.expiresAt),
      labelsOf(document).join(' '),
      headText(document),
      bodyText(document),
      Buffer.from(vectorBytes(document.vector) ?? NOTHING),
      Buffer.from(document.signature ?? NOTHING),
    ]);
    await this.#availability.write(() => this.#run(PUT, values));
  }

  async #remove(ids: readonly string[]): Promise<number> {
    let removed = 0;
    for (let begin = 0; begin < ids.length; begin += TOGETHER) {
      const some = ids.slice(begin, begin + TOGETHER);
      removed += await this.#queue.after(() =>
        this.#availability.write(() => this.#run<number>(REMOVE, some)),
      );
    }
    return removed;
  }

  /** Pages of entries that match, newest first. */
  async *#matching(
    filter: EntryFilter,
    before?: Pick<EntryHead, 'id' | 'createdAt'>,
  ): AsyncGenerator<ListedHead[]> {
    const isWanted = (head: ListedHead) =>
      matches(filter, head) && (before === undefined || isOlder(head, before));
    if (filter.id !== undefined) {
      const key = this.#entryKey(filter.id);
      const [head = null, hits = null] = await this.#availability.read(() =>
        this.#redis.hmgetBuffer(key, 'head', 'hits'),
      );
      if (head !== null) yield [listedHead(String(head), Number(hits))].filter(isWanted);
      return;
    }
    const label = await this.#smallest(labelsFor(filter));
    // From where it goes on: how many of those that were made at that time were seen.
    let [from, seen] = [before === undefined ? '+inf' : String(Math.round(before.createdAt)), 0];
    for (;;) {
      const found = await this.#availability.read(() =>
        this.#run<Found[]>(FIND, [label, from, seen, TOGETHER]),
      );
      yield found
        .flatMap(([, , head, hits]) => (head === null ? [] : listedHead(String(head), Number(hits))))
        .filter(isWanted);
      if (found.length < TOGETHER) return;
      const last = String(found.at(-1)?.[1]);
      const ofLast = found.filter(([, score]) => String(score) === last).length;
      [from, seen] = [last, last === from ? seen + found.length : ofLast];
    }
  }

  /** Of sets, that which has the fewest. */
  async #smallest([first = 'all', ...others]: readonly string[]): Promise<string> {
    if (others.length === 0) return first;
    const labels = [first, ...others];
    const sizes = await this.#availability.read(() =>
      Promise.all(labels.map((label) => this.#redis.zcard(`${this.#prefix}:${label}`))),
    );
    return labels[sizes.indexOf(Math.min(...sizes))] ?? first;
  }

  async #probe(): Promise<void> {
    // A connection over which nothing comes any more may stay so for many minutes.
    const late = setTimeout(() => this.#redis.disconnect(true), CONNECT_MILLISECONDS);
    try {
      await this.#redis.ping();
    } finally {
      clearTimeout(late);
    }
  }

  #entryKey(id: string): string {
    return `${this.#prefix}:entry:${id}`;
  }

  async #run<T>(script: string, values: readonly (string | number | Buffer)[]): Promise<T> {
    try {
      return (await this.#redis.callBuffer(
        'EVALSHA',
        SHAS.get(script) ?? '',
        0,
        this.#prefix,
        ...values,
      )) as T;
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return (await this.#redis.callBuffer('EVAL', script, 0, this.#prefix, ...values)) as T;
    }
  }
}

/** The sets in which an entry is. */
function labelsOf({ tenant, model, root, category, tags }: EntryHead): string[] {
  const sets = labelsFor({ tenant, model, root, category });
  return ['all', ...sets, ...new Set(tags.map((tag) => label('tag', tag)))];
}

/** The sets in each of which all are that match. */
function labelsFor({ tenant, model, root, category, tag }: EntryFilter): string[] {
  return Object.entries({ tenant, model, root, category, tag }).flatMap(([kind, name]) =>
    name === undefined ? [] : label(kind, name),
  );
}

function label(kind: string, name: string): string {
  return `${kind}:${keyOf(name).toString('hex')}`;
}

function matches({ id, tag, ...names }: EntryFilter, head: EntryHead): boolean {
  const { tenant = head.tenant, model = head.model, root = head.root, category = head.category } = names;
  return (
    (id === undefined || id === head.id) &&
    (tag === undefined || head.tags.includes(tag)) &&
    tenant === head.tenant &&
    model === head.model &&
    root === head.root &&
    category === head.category
  );
}

/** Whether it comes later in a list. Those that were made at the same time are in the order of their ids, as Redis has them. */
function isOlder(
  { id, createdAt }: Pick<EntryHead, 'id' | 'createdAt'>,
  before: Pick<EntryHead, 'id' | 'createdAt'>,
): boolean {
  const [mine, other] = [Math.round(createdAt), Math.round(before.createdAt)];
  return mine < other || (mine === other && id < before.id);
}

function storedHead([, , head, hits, vector = null]: Found): StoredHead | null {
  if (head === null) return null;
  return { ...listedHead(String(head), Number(hits)), vector: vectorOf(something(vector)) };
}

/** Redis has no field without a value: nothing stands for none. */
function something(value: Buffer | null): Buffer | null {
  return value === null || value.length === 0 ? null : value;
}
