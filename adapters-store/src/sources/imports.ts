import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Selectable } from 'kysely';
import { StorageError, storageError } from '../blobs/blob-store.ts';
import { AdapterError } from '../errors.ts';
import { type Database, inTurn } from '../metadata/database.ts';
import type { ImportTable } from '../metadata/tables.ts';
import type { Principal } from '../store/principal.ts';
import type { PushLimits } from '../store/push.ts';
import type { AdaptersStore } from '../store.ts';
import { StoreError } from '../store-error.ts';
import { parseSource, type Source, sourceText } from './source.ts';
import { SourceError } from './source-error.ts';
import type { Sources } from './sources.ts';

/** What is asked for. */
export interface ImportRequest {
  /** See `parseSource`. */
  readonly source: string;
  readonly name: string;
  readonly tags: readonly string[];
  readonly note: string | null;
}

/** An import as it is now. */
export interface ImportJob extends ImportRequest {
  readonly id: string;
  readonly state: ImportTable['state'];
  readonly bytesDone: number;
  /** null: not known yet. */
  readonly bytesTotal: number | null;
  /** Where it is done. */
  readonly result: { readonly release: string; readonly digest: string } | null;
  /** Where it failed. */
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly createdAt: number;
  readonly finishedAt: number | null;
}

export interface ImportsOptions {
  readonly database: Database;
  readonly store: AdaptersStore;
  readonly sources: Sources;
  /** A directory for what is being fetched, which the store clears of what is old. */
  readonly staging: string;
  /** Of each adapter. */
  readonly limits: PushLimits;
  /** Told of faults of our own, which clients learn no more of than that there was one. */
  readonly onFault: (error: unknown) => void;
  /** Milliseconds since 1970. */
  readonly clock?: () => number;
}

const BEAT_MILLISECONDS = 1_000;
/** Without a sign of life, so that whoever was at it is not any more. */
const DEAD_MILLISECONDS = 10_000;
const MOST_AT_ONCE = 4;
const MOST_WAITING = 100;
/** Of each; a push may be as slow. */
const LONGEST_MILLISECONDS = 60 * 60 * 1000;
const KEPT_MILLISECONDS = 7 * 24 * 60 * 60 * 1000;
const LISTED = 100;
const ACTIVE = ['queued', 'fetching', 'storing'] as const;
const BROKEN_OFF = {
  code: 'import_interrupted',
  message: 'the server was stopped while it was at it; ask for it again',
} as const;

/** Stands for a cancellation within the worker. */
class Cancelled extends Error {}
/** Stands for the worker's own end. */
class Stopped extends Error {}

interface Progress {
  done: number;
  total: number | null;
}

/**
 * Imports of adapters from sources. They are in the metadata, so that every gateway can tell how far one is, the same
 * one asked for twice is one, and one that a crash broke off is known to be so.
 */
export class Imports {
  readonly #options: ImportsOptions;
  readonly #clock: () => number;
  readonly #worker = randomUUID();
  readonly #running = new Map<string, { readonly abort: AbortController; readonly ended: Promise<void> }>();
  readonly #progress = new Map<string, Progress>();
  readonly #waiting: (() => void)[] = [];
  #atOnce = 0;

  constructor(options: ImportsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  /**
   * Begins an import, or finds the one that is at the same already.
   * @throws SourceError for a source that is none, StoreError for a name, tag or note that cannot be
   */
  async start(request: ImportRequest, actor: Principal): Promise<ImportJob> {
    const source = parseSource(request.source);
    const { name, tags, note } = request;
    await this.#options.store.assertPushable({ name, tags, note }, actor);
    const wanted = { source: sourceText(source), name, tags: [...new Set(tags)].sort(), note };
    const text = JSON.stringify(wanted);
    const { row, isNew } = await inTurn(this.#options.database, async (transaction) => {
      const now = this.#clock();
      const active = await transaction
        .selectFrom('import')
        .selectAll()
        .where('state', 'in', ACTIVE)
        .execute();
      const alive = active.filter((each) => isAlive(each, now));
      const same = alive.find(({ tenant, request }) => tenant === actor.tenant && request === text);
      if (same !== undefined) return { row: same, isNew: false };
      if (alive.length >= MOST_WAITING)
        throw new StoreError(
          'imports_busy',
          `${MOST_WAITING} imports are running or waiting; try again later`,
        );
      await transaction
        .deleteFrom('import')
        .where('finished_at', '<', now - KEPT_MILLISECONDS)
        .execute();
      const row = {
        id: `import-${randomUUID()}`,
        tenant: actor.tenant,
        request: text,
        state: 'queued' as const,
        worker: this.#worker,
        seen_at: now,
        bytes_done: 0,
        bytes_total: null,
        result: null,
        error_code: null,
        error_message: null,
        created_at: now,
        finished_at: null,
      };
      await transaction.insertInto('import').values(row).execute();
      return { row, isNew: true };
    });
    if (isNew) this.#begin(row.id, source, wanted, actor);
    return this.#read(row);
  }

  /** @throws StoreError `import_not_found` */
  async find(id: string, actor: Principal): Promise<ImportJob> {
    const row = await this.#options.database
      .selectFrom('import')
      .selectAll()
      .where('id', '=', id)
      .where('tenant', '=', actor.tenant)
      .executeTakeFirst();
    if (row === undefined) throw new StoreError('import_not_found', `there is no import '${id}'`);
    return this.#read(row);
  }

  /** The newest first. */
  async list(actor: Principal): Promise<ImportJob[]> {
    const rows = await this.#options.database
      .selectFrom('import')
      .selectAll()
      .where('tenant', '=', actor.tenant)
      .orderBy('created_at', 'desc')
      .limit(LISTED)
      .execute();
    return rows.map((row) => this.#read(row));
  }

  /**
   * Stops an import, whichever gateway is at it.
   * @throws StoreError `import_ended` where it has ended, or is already being stored
   */
  async cancel(id: string, actor: Principal): Promise<ImportJob> {
    const job = await this.find(id, actor);
    const { numUpdatedRows } = await this.#options.database
      .updateTable('import')
      .set({ state: 'cancelled', finished_at: this.#clock() })
      .where('id', '=', id)
      .where('state', 'in', ['queued', 'fetching'])
      .executeTakeFirst();
    if (numUpdatedRows === 0n)
      throw new StoreError(
        'import_ended',
        `the import '${id}' is ${job.state}: it cannot be cancelled any more`,
      );
    const running = this.#running.get(id);
    running?.abort.abort(new Cancelled());
    await running?.ended;
    return this.find(id, actor);
  }

  /** Stops what this process is at. */
  async close(): Promise<void> {
    const running = [...this.#running.values()];
    for (const { abort } of running) abort.abort(new Stopped());
    await Promise.all(running.map(({ ended }) => ended));
  }

  #begin(id: string, source: Source, request: ImportRequest, actor: Principal): void {
    const abort = new AbortController();
    const progress: Progress = { done: 0, total: null };
    this.#progress.set(id, progress);
    const beat = setInterval(() => void this.#beat(id, progress, abort), BEAT_MILLISECONDS);
    const ended = this.#work(id, source, request, actor, progress, abort.signal)
      .catch((error: unknown) => this.#end(id, progress, error))
      // What cannot even be noted down is seen by there being no sign of life.
      .catch((error: unknown) => this.#options.onFault(error))
      .finally(() => {
        clearInterval(beat);
        this.#running.delete(id);
        this.#progress.delete(id);
      });
    this.#running.set(id, { abort, ended });
  }

  async #work(
    id: string,
    source: Source,
    { name, tags, note }: ImportRequest,
    actor: Principal,
    progress: Progress,
    cancelled: AbortSignal,
  ): Promise<void> {
    const { sources, staging, store, limits } = this.#options;
    const directory = join(staging, randomUUID());
    await this.#turn(cancelled);
    try {
      await this.#move(id, 'queued', { state: 'fetching' });
      const signal = AbortSignal.any([cancelled, AbortSignal.timeout(LONGEST_MILLISECONDS)]);
      await mkdir(directory, { recursive: true }).catch((error: unknown) => {
        throw storageError(error, 'importing an adapter');
      });
      const onBytes = (bytes: number) => {
        progress.done += bytes;
      };
      const from = await sources.fetch(
        source,
        directory,
        { maxBytes: limits.maxBytes, signal, onBytes },
        (total) => {
          progress.total = total;
        },
      );
      // From here on it is not cancelled any more: what is stored is stored.
      await this.#move(id, 'fetching', { state: 'storing', ...bytesOf(progress) });
      const { number, version } = await store.push(
        { name, directory, tags, note, source: from, limits },
        actor,
      );
      const result = JSON.stringify({ release: `v${number}`, digest: version.digest });
      await this.#move(id, 'storing', { state: 'done', result, finished_at: this.#clock() });
    } finally {
      this.#next();
      await rm(directory, { recursive: true, force: true }).catch(() => {});
    }
  }

  /** @throws Cancelled where it is not in that state any more: somebody has cancelled it */
  async #move(id: string, from: ImportTable['state'], change: Partial<ImportTable>): Promise<void> {
    const { numUpdatedRows } = await this.#options.database
      .updateTable('import')
      .set({ ...change, seen_at: this.#clock() })
      .where('id', '=', id)
      .where('state', '=', from)
      .executeTakeFirst();
    if (numUpdatedRows === 0n) throw new Cancelled();
  }

  async #end(id: string, progress: Progress, error: unknown): Promise<void> {
    if (error instanceof Cancelled) return;
    const { code, message } = this.#told(error);
    await this.#options.database
      .updateTable('import')
      .set({
        state: 'failed',
        error_code: code,
        error_message: message,
        finished_at: this.#clock(),
        ...bytesOf(progress),
      })
      .where('id', '=', id)
      .where('state', 'in', ACTIVE)
      .execute();
  }

  #told(error: unknown): { readonly code: string; readonly message: string } {
    if (error instanceof Stopped) return BROKEN_OFF;
    if (error instanceof AdapterError) return { code: 'adapter_invalid', message: error.message };
    if (error instanceof SourceError || error instanceof StoreError || error instanceof StorageError)
      return { code: error.code, message: error.message };
    if (error instanceof Error && error.name === 'TimeoutError')
      return { code: 'source_unavailable', message: 'it took longer than an hour' };
    this.#options.onFault(error);
    return { code: 'internal_error', message: 'the server had an error while importing it' };
  }

  /** Says that this process is at it, and learns whether it still should be. */
  async #beat(id: string, progress: Progress, abort: AbortController): Promise<void> {
    try {
      const { numUpdatedRows } = await this.#options.database
        .updateTable('import')
        .set({ seen_at: this.#clock(), ...bytesOf(progress) })
        .where('id', '=', id)
        .where('state', 'in', ACTIVE)
        .executeTakeFirst();
      if (numUpdatedRows === 0n) abort.abort(new Cancelled());
    } catch {
      // Metadata that does not answer now may do so the next time.
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    if (this.#atOnce < MOST_AT_ONCE) {
      this.#atOnce++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const go = () => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1);
        reject(signal.reason);
      };
      this.#waiting.push(go);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** Hands this one's place to whoever waits for it. */
  #next(): void {
    const go = this.#waiting.shift();
    if (go === undefined) this.#atOnce--;
    else go();
  }

  #read(row: Selectable<ImportTable>): ImportJob {
    const request = JSON.parse(row.request) as ImportRequest;
    const isBrokenOff = isActive(row) && !isAlive(row, this.#clock());
    const own = isActive(row) ? this.#progress.get(row.id) : undefined;
    const failed =
      row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? '' };
    return {
      ...request,
      id: row.id,
      state: isBrokenOff ? 'failed' : row.state,
      bytesDone: own?.done ?? row.bytes_done,
      bytesTotal: own?.total ?? row.bytes_total,
      result: row.result === null ? null : (JSON.parse(row.result) as ImportJob['result']),
      error: isBrokenOff ? BROKEN_OFF : failed,
      createdAt: row.created_at,
      finishedAt: isBrokenOff ? row.seen_at : row.finished_at,
    };
  }
}

function isActive({ state }: Pick<ImportTable, 'state'>): boolean {
  return ACTIVE.some((each) => each === state);
}

function isAlive({ seen_at }: Pick<ImportTable, 'seen_at'>, now: number): boolean {
  return now - seen_at < DEAD_MILLISECONDS;
}

function bytesOf({ done, total }: Progress): { bytes_done: number; bytes_total: number | null } {
  return { bytes_done: done, bytes_total: total };
}
