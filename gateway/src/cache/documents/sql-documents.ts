import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CacheDatabase,
  type CompiledQuery,
  isPostgres,
  type Kysely,
  migrateBeside,
  openCacheDatabase,
  type Transaction,
} from '@polylora/adapters-store';
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
import { CACHE_MIGRATIONS } from './sql-migrations.ts';
import type { CacheTables } from './sql-tables.ts';
import { WriteQueue } from './write-queue.ts';

/** Changed in one transaction, for which others wait. */
const CHANGED_TOGETHER = 1_000;
/** Removals are told for so long after they were made. */
const TOLD_MICROSECONDS = 3600 * 1_000_000;
const CLOSE_MILLISECONDS = 1_000;
/** Codes of a change that cannot be made although what is there can be read: a full disk, a server that only reads, another's change. */
const REFUSALS = /^(storage_full|SQLITE_BUSY.*|SQLITE_READONLY.*|25006|40001|40P01|55P03)$/;
/** Codes of a server that is away, or is none to be written to now. */
const AWAY = /^storage_/;

export interface SqlDocumentsOptions {
  /** A file of SQLite's own, made where it is not there, or a `postgres://` URL. */
  readonly location: string;
  readonly logger: Logger;
}

interface BodyRow {
  readonly id: string;
  readonly body: string;
  readonly signature: Uint8Array | null;
}

/** Of an entry, or null of one that is gone. */
interface ChangeRow {
  readonly sequence: number;
  readonly id: string;
  readonly head: string | null;
  readonly hits: number | null;
  readonly vector: Uint8Array | null;
}

/**
 * Documents in SQLite or PostgreSQL.
 *
 * Each change has a number, which its transaction takes from the one row of `cache_state`. The row is locked until the transaction is
 * committed: in PostgreSQL by `for update`, in SQLite as the one writer. So who has a higher number commits later, and who sees a number
 * sees all lower ones; a reader that goes on after the last number that it saw misses none. An entry has the number of its last change, and
 * one that is gone leaves its id and a number.
 */
export class SqlDocuments implements DocumentStore {
  readonly #location: string;
  readonly #availability: Availability;
  readonly #queue = new WriteQueue((documents) => this.#put(documents));
  /** For so many bodies. */
  readonly #queries = new Map<number, CompiledQuery<BodyRow>>();
  #database: CacheDatabase<CacheTables>;

  private constructor(database: CacheDatabase<CacheTables>, { location, logger }: SqlDocumentsOptions) {
    this.#database = database;
    this.#location = location;
    this.#availability = new Availability({
      name: 'the database of the cache',
      probe: () => this.#reopen(),
      isRefusal: (error) => codesOf(error).some((code) => REFUSALS.test(code)),
      logger,
    });
  }

  /**
   * Opens it and makes its tables. A server that is away is no error.
   * @throws MetadataError where the file cannot be opened, or the tables cannot be used
   */
  static async open(options: SqlDocumentsOptions): Promise<SqlDocuments> {
    const database = await openCacheDatabase<CacheTables>(options.location);
    const documents = new SqlDocuments(database, options);
    try {
      await documents.#prepare();
    } catch (error) {
      if (!isPostgres(database.working) || !codesOf(error).some((code) => AWAY.test(code))) {
        await documents.#availability.close();
        await destroyed(database);
        throw error;
      }
      documents.#availability.failed(error);
    }
    return documents;
  }

  put(document: CacheDocument): Promise<void> {
    return this.#queue.put(document);
  }

  async get(id: string): Promise<CacheDocument | null> {
    const unwritten = this.#queue.find([id]).found.get(id);
    if (unwritten !== undefined) return unwritten;
    const row = await this.#availability.read(() =>
      this.#bodies([id]).select(['entry.head', 'entry.vector']).executeTakeFirst(),
    );
    return row === undefined ? null : storedDocument(row.head, row.body, row.vector, row.signature);
  }

  async bodies(ids: readonly string[]): Promise<ReadonlyMap<string, DocumentBody>> {
    const { found, missing } = this.#queue.find(ids);
    if (missing.length === 0) return found;
    const { rows } = await this.#availability.read(() =>
      this.#database.reading.executeQuery<BodyRow>({ ...this.#bodiesQuery(missing), parameters: missing }),
    );
    const stored = rows.map(({ id, body, signature }) => [id, storedBody(body, signature)] as const);
    return new Map<string, DocumentBody>([...found, ...stored]);
  }

  async remove(ids: readonly string[]): Promise<void> {
    for (let begin = 0; begin < ids.length; begin += CHANGED_TOGETHER) {
      const some = ids.slice(begin, begin + CHANGED_TOGETHER);
      await this.#removeThose((transaction) =>
        transaction.selectFrom('cache_entry').select(['sequence', 'id']).where('id', 'in', some).execute(),
      );
    }
  }

  async find(
    filter: EntryFilter,
    { limit, before }: { readonly limit: number; readonly before?: Pick<EntryHead, 'id' | 'createdAt'> },
  ): Promise<readonly ListedHead[]> {
    const rows = await this.#read((database) =>
      matching(database, filter, limit, before).select(['entry.head', 'entry.hits']).execute(),
    );
    return rows.map(({ head, hits }) => listedHead(head, hits));
  }

  async addHits(hits: ReadonlyMap<string, number>): Promise<void> {
    const byCount = new Map<number, string[]>();
    for (const [id, count] of hits) {
      const ids = byCount.get(count);
      if (ids === undefined) byCount.set(count, [id]);
      else ids.push(id);
    }
    for (const [count, ids] of byCount) {
      for (let begin = 0; begin < ids.length; begin += CHANGED_TOGETHER) {
        const some = ids.slice(begin, begin + CHANGED_TOGETHER);
        await this.#change(async (transaction) => {
          await transaction
            .updateTable('cache_entry')
            .set((expression) => ({ hits: expression('hits', '+', count) }))
            .where('id', 'in', some)
            .execute();
        });
      }
    }
  }

  async heads(
    cursor: string | null,
    limit: number,
  ): Promise<{ readonly heads: readonly StoredHead[]; readonly cursor: string | null }> {
    // By the number of its last change: what is replaced while all are read comes once more, and nothing is left out.
    const rows = await this.#read((database) =>
      database
        .selectFrom('cache_entry')
        .select(['sequence', 'head', 'hits', 'vector'])
        .where('sequence', '>', Number(cursor ?? 0))
        .orderBy('sequence')
        .limit(limit)
        .execute(),
    );
    return {
      heads: rows.map(({ head, hits, vector }) => ({ ...listedHead(head, hits), vector: vectorOf(vector) })),
      cursor: rows.length < limit ? null : String(rows.at(-1)?.sequence),
    };
  }

  async lastSequence(): Promise<number> {
    return (await this.#state()).last;
  }

  async changes(after: number, limit: number): Promise<readonly DocumentChange[] | null> {
    const rows = await this.#read((database) =>
      // One statement, so that both tables are read as of one moment.
      database
        .selectFrom('cache_entry')
        .select(['sequence', 'id', 'head', 'hits', 'vector'])
        .$castTo<ChangeRow>()
        .where('sequence', '>', after)
        .unionAll(
          database
            .selectFrom('cache_removed')
            .select(({ lit }) => [
              'sequence',
              'id',
              lit(null).as('head'),
              lit(null).as('hits'),
              lit(null).as('vector'),
            ])
            .where('sequence', '>', after),
        )
        .orderBy('sequence')
        .limit(limit)
        .execute(),
    );
    // Asked for after them: what was forgotten meanwhile may be missing above.
    const { last, forgotten } = await this.#state();
    if (after < forgotten || after > last) return null;
    return rows.map(({ sequence, id, head, hits, vector }) =>
      head === null
        ? { sequence, kind: 'remove', id }
        : {
            ...{ sequence, kind: 'put' },
            head: { ...listedHead(head, hits ?? 0), vector: vectorOf(vector) },
          },
    );
  }

  async sweep(now: number): Promise<number> {
    let removed = 0;
    let from = 0;
    for (;;) {
      const rows = await this.#removeThose((transaction) =>
        transaction
          .selectFrom('cache_entry')
          .select(['sequence', 'id', 'expires_at'])
          .where('expires_at', '<=', Math.floor(now))
          .where('expires_at', '>=', from)
          .orderBy('expires_at')
          .limit(CHANGED_TOGETHER)
          .execute(),
      );
      removed += rows.length;
      if (rows.length < CHANGED_TOGETHER) break;
      from = rows.at(-1)?.expires_at ?? 0;
    }
    await this.#forget();
    return removed;
  }

  async close(): Promise<void> {
    await this.#queue.after(async () => {});
    await this.#availability.close();
    await destroyed(this.#database);
  }

  /** To write a query down takes longer than SQLite takes to answer it. Ids of entries need nothing done to them before they are sent. */
  #bodiesQuery(ids: readonly string[]): CompiledQuery<BodyRow> {
    const known = this.#queries.get(ids.length) ?? this.#bodies(ids).compile();
    this.#queries.set(ids.length, known);
    return known;
  }

  #bodies(ids: readonly string[]) {
    return this.#database.reading
      .selectFrom('cache_entry as entry')
      .innerJoin('cache_body as body', 'body.sequence', 'entry.sequence')
      .select(['entry.id', 'body.body', 'body.signature'])
      .where('entry.id', 'in', ids);
  }

  async #put(documents: readonly CacheDocument[]): Promise<void> {
    await this.#write(async (transaction, numbers) => {
      const first = numbers(documents.length);
      const former = await transaction
        .selectFrom('cache_entry')
        .select(['id', 'sequence', 'hits'])
        .where(
          'id',
          'in',
          documents.map(({ id }) => id),
        )
        .execute();
      if (former.length > 0) await removeRows(transaction, former);
      const hits = new Map(former.map((row) => [row.id, row.hits]));
      await transaction
        .insertInto('cache_entry')
        .values(
          documents.map((document, index) => ({
            ...{ sequence: first + index, id: document.id, tenant: keyOf(document.tenant) },
            ...{
              model: keyOf(document.model),
              root: keyOf(document.root),
              category: keyOf(document.category),
            },
            ...{ created_at: Math.round(document.createdAt), expires_at: Math.round(document.expiresAt) },
            ...{ hits: hits.get(document.id) ?? 0, head: headText(document) },
            vector: vectorBytes(document.vector),
          })),
        )
        .execute();
      await transaction
        .insertInto('cache_body')
        .values(
          documents.map((document, index) => ({
            sequence: first + index,
            signature: document.signature === null ? null : new Uint8Array(document.signature),
            body: bodyText(document),
          })),
        )
        .execute();
      const tags = documents.flatMap(({ id, tags, createdAt }, index) =>
        [...new Set(tags)].map((tag) => ({
          ...{ sequence: first + index, tag: keyOf(tag), created_at: Math.round(createdAt), id },
        })),
      );
      for (let begin = 0; begin < tags.length; begin += CHANGED_TOGETHER) {
        await transaction
          .insertInto('cache_tag')
          .values(tags.slice(begin, begin + CHANGED_TOGETHER))
          .execute();
      }
    });
  }

  /** Removes what is selected in the same transaction, and tells. @returns what was selected */
  async #removeThose<Row extends { readonly sequence: number; readonly id: string }>(
    select: (transaction: Transaction<CacheTables>) => Promise<readonly Row[]>,
  ): Promise<readonly Row[]> {
    return this.#change(async (transaction, numbers) => {
      const rows = await select(transaction);
      if (rows.length === 0) return rows;
      await removeRows(transaction, rows);
      const first = numbers(rows.length);
      await transaction
        .insertInto('cache_removed')
        .values(rows.map(({ id }, index) => ({ sequence: first + index, id })))
        .execute();
      return rows;
    });
  }

  async #forget(): Promise<void> {
    const until = (await this.#state()).last - TOLD_MICROSECONDS;
    for (;;) {
      const removed = await this.#change(async (transaction) => {
        const rows = await transaction
          .selectFrom('cache_removed')
          .select('sequence')
          .where('sequence', '<=', until)
          .orderBy('sequence')
          .limit(CHANGED_TOGETHER)
          .execute();
        const last = rows.at(-1)?.sequence;
        if (last === undefined) return 0;
        await transaction.updateTable('cache_state').set({ forgotten: last }).execute();
        await transaction.deleteFrom('cache_removed').where('sequence', '<=', last).execute();
        return rows.length;
      });
      if (removed < CHANGED_TOGETHER) return;
    }
  }

  #state(): Promise<{ readonly last: number; readonly forgotten: number }> {
    return this.#read(stateOf);
  }

  #read<T>(work: (database: Kysely<CacheTables>) => Promise<T>): Promise<T> {
    return this.#availability.read(() => work(this.#database.working));
  }

  /** A change after all that was put before. */
  #change<T>(
    work: (transaction: Transaction<CacheTables>, numbers: (count: number) => number) => Promise<T>,
  ): Promise<T> {
    return this.#queue.after(() => this.#write(work));
  }

  /** @param work takes so many numbers in a row, and is given the first */
  #write<T>(
    work: (transaction: Transaction<CacheTables>, numbers: (count: number) => number) => Promise<T>,
  ): Promise<T> {
    return this.#availability.write(() =>
      this.#database.working
        .transaction()
        .setIsolationLevel('read committed')
        .execute(async (transaction) => {
          const state = transaction.selectFrom('cache_state').select('last');
          // Whoever waits for the row is given it as it then is.
          const locked = isPostgres(transaction) ? state.forUpdate() : state;
          const { last } = await locked.executeTakeFirstOrThrow();
          let next = last + 1;
          const result = await work(transaction, (count) => {
            // By the clock where it is ahead: a server that has lost its last changes does not give their numbers again.
            const first = Math.max(next, Date.now() * 1000);
            next = first + count;
            return first;
          });
          if (next > last + 1) {
            await transaction
              .updateTable('cache_state')
              .set({ last: next - 1 })
              .execute();
          }
          return result;
        }),
    );
  }

  async #reopen(): Promise<void> {
    await destroyed(this.#database);
    this.#database = await openCacheDatabase<CacheTables>(this.#location);
    await this.#prepare();
  }

  async #prepare(): Promise<void> {
    await migrateBeside(this.#database.working, 'cache', CACHE_MIGRATIONS);
    await stateOf(this.#database.working);
  }
}

function stateOf(
  database: Kysely<CacheTables>,
): Promise<{ readonly last: number; readonly forgotten: number }> {
  return database.selectFrom('cache_state').select(['last', 'forgotten']).executeTakeFirstOrThrow();
}

/** Entries that match, newest first. */
function matching(
  database: Kysely<CacheTables>,
  { id, tag, ...names }: EntryFilter,
  limit: number,
  before: Pick<EntryHead, 'id' | 'createdAt'> | undefined,
) {
  const { ref } = database.dynamic;
  // The table by whose index a tag's newest are found.
  const table = tag === undefined ? 'entry' : 'tagged';
  const [createdAt, entryId] = [ref(`${table}.created_at`), ref(`${table}.id`)];
  let query = database
    .selectFrom('cache_entry as entry')
    .$if(tag !== undefined, (all) =>
      all
        .innerJoin('cache_tag as tagged', 'tagged.sequence', 'entry.sequence')
        .where('tagged.tag', '=', keyOf(tag ?? '')),
    )
    .orderBy(createdAt, 'desc')
    .orderBy(entryId, 'desc')
    .limit(limit);
  if (id !== undefined) query = query.where('entry.id', '=', id);
  for (const column of ['tenant', 'model', 'root', 'category'] as const) {
    const name = names[column];
    if (name !== undefined) query = query.where(`entry.${column}`, '=', keyOf(name));
  }
  if (before === undefined) return query;
  const last = Math.round(before.createdAt);
  return query
    .where(createdAt, '<=', last)
    .where((expression) =>
      expression.or([expression(createdAt, '<', last), expression(entryId, '<', before.id)]),
    );
}

async function removeRows(
  transaction: Transaction<CacheTables>,
  rows: readonly { readonly sequence: number }[],
): Promise<void> {
  const sequences = rows.map(({ sequence }) => sequence);
  for (const table of ['cache_entry', 'cache_body', 'cache_tag'] as const) {
    await transaction.deleteFrom(table).where('sequence', 'in', sequences).execute();
  }
}

/** Lets go of it, and does not wait for connections to a server over which nothing comes. */
async function destroyed({ reading, working }: CacheDatabase<CacheTables>): Promise<void> {
  const gone = Promise.all([working.destroy(), reading.destroy()]).catch(() => {});
  await (isPostgres(working) ? Promise.race([gone, sleep(CLOSE_MILLISECONDS, null, { ref: false })]) : gone);
}

/** Of an error and its causes. */
function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') codes.push(at.code);
  }
  return codes;
}
