import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import {
  CompiledQuery,
  type DatabaseConnection,
  Kysely,
  type SqliteDatabase as KyselySqlite,
  type Migration,
  Migrator,
  PostgresDialect,
  SqliteDialect,
  SqliteDriver,
  sql,
  type Transaction,
} from 'kysely';
import { Pool, type PoolConfig, types } from 'pg';
import { isPostgres } from './dialect.ts';
import { tellingFailures } from './failures.ts';
import { MIGRATIONS } from './migrations.ts';
import { threadDialect } from './sqlite-thread.ts';
import type { Tables } from './tables.ts';
import { WithoutNul } from './without-nul.ts';

export type Database = Kysely<Tables>;

/** PostgreSQL's type of `bigint`. Ours are counts and times, all well below 2^53. */
const INT8 = 20;
const BUSY_MILLISECONDS = 5_000;
const CONNECT_MILLISECONDS = 5_000;
const IDLE_MILLISECONDS = 15_000;
const MOST_CONNECTIONS = 8;
/** The same of a database that nobody waits for long, as it only saves work. */
const CACHE_CONNECT_MILLISECONDS = 1_000;
const CACHE_LOCK_MILLISECONDS = 2_000;
/** SQLite's readers wait for nobody who writes, only for one that sets up the log again after a crash. */
const CACHE_READ_MILLISECONDS = 100;
const CACHE_STATEMENT_MILLISECONDS = 5_000;
const CACHE_IDLE_MILLISECONDS = 5_000;
const CACHE_MOST_CONNECTIONS = 4;
/** Statements that are kept: there are few. */
const MOST_PREPARED = 100;
/** SQLite's log is cut to this when it has been moved into the file. */
const CACHE_LOG_BYTES = 64 << 20;
/** PostgreSQL's lock of those that change something: any number, the same in every gateway. */
const WRITERS = 0x706c6f72;

/** The metadata cannot be opened, or was written by a newer release. */
export class MetadataError extends Error {
  override readonly name = 'MetadataError';
  readonly code = 'metadata_unavailable';
}

/**
 * Opens the metadata and brings its tables to this release's shape.
 *
 * @param location a file of SQLite's, made where it is not there, or a `postgres://` URL
 * @throws MetadataError
 */
export async function openDatabase(location: string): Promise<Database> {
  const database = isPostgresUrl(location)
    ? openPostgres<Tables>(location, METADATA_POOL)
    : await openSqlite<Tables>(location, 'the metadata', BUSY_MILLISECONDS, [
        // What was acknowledged survives a power failure.
        'synchronous = FULL',
        'foreign_keys = ON',
      ]);
  try {
    await migrate(database);
  } catch (cause) {
    await database.destroy();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MetadataError(`the metadata in ${redacted(location)} cannot be used: ${reason}`, { cause });
  }
  return database;
}

/** A cache's database: what a request waits for is read by the first, all else is done by the second. */
export interface CacheDatabase<T> {
  readonly reading: Kysely<T>;
  readonly working: Kysely<T>;
}

/**
 * Opens a database of a cache, without tables: the caller makes its own by `migrateBeside`. After a crash, each change is there as a whole or
 * not at all.
 * - SQLite is read in this thread, which takes no longer than to ask another. All else is done in a thread of its own: writing waits for the
 *   disk when what was written is moved into the file, for a tenth of a second perhaps. The last changes may be gone after a power failure.
 * - PostgreSQL: both are the same. Commits wait for its disk, which holds up nobody here. So no other reader has seen what then is gone.
 *
 * @param location as for `openDatabase`
 * @throws MetadataError where the file cannot be opened; a server is connected to when it is first asked
 */
export async function openCacheDatabase<T>(location: string): Promise<CacheDatabase<T>> {
  if (isPostgresUrl(location)) {
    const database = openPostgres<T>(location, CACHE_POOL);
    return { reading: database, working: database };
  }
  const pragmas = ['query_only = ON', `busy_timeout = ${CACHE_READ_MILLISECONDS}`];
  const reading = await openSqlite<T>(location, 'the cache', CACHE_LOCK_MILLISECONDS, pragmas, preparedOnce);
  const thread = threadDialect({
    file: location,
    busyMilliseconds: CACHE_LOCK_MILLISECONDS,
    pragmas: ['synchronous = NORMAL', `journal_size_limit = ${CACHE_LOG_BYTES}`],
  });
  return { reading, working: new Kysely<T>({ dialect: tellingFailures(thread) }) };
}

function isPostgresUrl(location: string): boolean {
  return /^postgres(ql)?:\/\//.test(location);
}

async function migrate(database: Database): Promise<void> {
  const { error } = await migratorOf(database).migrateToLatest();
  if (error !== undefined) throw error;
}

/**
 * Brings further tables in the same database to their shape. Which steps were taken is kept beside the store's own, so that
 * a release that knows nothing of these tables runs on.
 *
 * @param name of whose tables they are, for the table that remembers the steps
 * @throws MetadataError
 */
export async function migrateBeside<T>(
  database: Kysely<T>,
  name: string,
  migrations: Readonly<Record<string, Migration>>,
): Promise<void> {
  const { error } = await new Migrator({
    db: database,
    provider: { getMigrations: async () => ({ ...migrations }) },
    migrationTableName: `${name}_migration`,
    migrationLockTableName: `${name}_migration_lock`,
  }).migrateToLatest();
  if (error === undefined) return;
  const reason = error instanceof Error ? error.message : String(error);
  throw new MetadataError(`the tables of ${name} cannot be used: ${reason}`, { cause: error });
}

function migratorOf(db: Database): Migrator {
  return new Migrator({ db, provider: { getMigrations: async () => ({ ...MIGRATIONS }) } });
}

/** Takes the newest step back, so that the release before can use the tables. @returns its name, or null where there is none */
export async function migrateBack(database: Database): Promise<string | null> {
  const { error, results } = await migratorOf(database).migrateDown();
  if (error !== undefined) throw error;
  return results?.[0]?.migrationName ?? null;
}

/**
 * Does several changes as one, all or none. Whoever changes something waits for whoever is at it, in other gateways as
 * well: changes are rare, and what is decided from what was read then still holds.
 */
export function inTurn<Result>(
  database: Database,
  work: (transaction: Transaction<Tables>) => Promise<Result>,
): Promise<Result> {
  return database.transaction().execute(async (transaction) => {
    // SQLite's transactions begin as its one writer.
    if (isPostgres(database)) await sql`select pg_advisory_xact_lock(${WRITERS})`.execute(transaction);
    return work(transaction);
  });
}

/**
 * Does several changes as one, all or none, without waiting for the disk: a process that is killed loses nothing of them, a machine
 * that loses power may lose the last. For what is written all the time and nobody was promised, as SQLite's waiting holds up the process.
 */
export function withoutDisk<T, Result>(
  database: Kysely<T>,
  work: (transaction: Transaction<T>) => Promise<Result>,
): Promise<Result> {
  if (isPostgres(database)) {
    return database.transaction().execute(async (transaction) => {
      await sql`set local synchronous_commit = off`.execute(transaction);
      return work(transaction);
    });
  }
  return database.connection().execute(async (connection) => {
    await sql`pragma synchronous = normal`.execute(connection);
    try {
      return await connection.transaction().execute(work);
    } finally {
      await sql`pragma synchronous = full`.execute(connection);
    }
  });
}

async function openSqlite<T>(
  file: string,
  what: string,
  busyMilliseconds: number,
  pragmas: readonly string[],
  as: (sqlite: SqliteDatabase.Database) => KyselySqlite = (sqlite) => sqlite,
): Promise<Kysely<T>> {
  let sqlite: SqliteDatabase.Database | null = null;
  try {
    await mkdir(dirname(file), { recursive: true });
    sqlite = new SqliteDatabase(file, { timeout: busyMilliseconds });
    sqlite.pragma('journal_mode = WAL');
    for (const pragma of pragmas) sqlite.pragma(pragma);
    return new Kysely<T>({ dialect: tellingFailures(new WritersDialect({ database: as(sqlite) })) });
  } catch (cause) {
    sqlite?.close();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MetadataError(`${what} in ${file} cannot be opened: ${reason}`, { cause });
  }
}

/** Of what is read for a request a third of the time goes into preparing the same few statements. */
function preparedOnce(sqlite: SqliteDatabase.Database): KyselySqlite {
  const statements = new Map<string, SqliteDatabase.Statement>();
  return {
    close: () => sqlite.close(),
    prepare: (sql) => {
      let statement = statements.get(sql);
      if (statement === undefined) {
        if (statements.size >= MOST_PREPARED) statements.clear();
        statement = sqlite.prepare(sql);
        statements.set(sql, statement);
      }
      return statement;
    },
  };
}

const METADATA_POOL: PoolConfig = {
  max: MOST_CONNECTIONS,
  connectionTimeoutMillis: CONNECT_MILLISECONDS,
  lock_timeout: BUSY_MILLISECONDS,
  // A gateway that hangs in the midst of a change does not keep the others from theirs.
  idle_in_transaction_session_timeout: IDLE_MILLISECONDS,
};

const CACHE_POOL: PoolConfig = {
  max: CACHE_MOST_CONNECTIONS,
  connectionTimeoutMillis: CACHE_CONNECT_MILLISECONDS,
  lock_timeout: CACHE_LOCK_MILLISECONDS,
  statement_timeout: CACHE_STATEMENT_MILLISECONDS,
  idle_in_transaction_session_timeout: CACHE_IDLE_MILLISECONDS,
};

function openPostgres<T>(url: string, config: PoolConfig): Kysely<T> {
  const pool = new Pool({
    ...config,
    connectionString: url,
    types: {
      getTypeParser: (type: number, format?: 'text' | 'binary') =>
        type === INT8 ? Number : types.getTypeParser(type, format as 'text'),
    },
  });
  // An idle connection that breaks is replaced when it is next needed; without a listener it would end the process.
  pool.on('error', () => {});
  // Nor does one that breaks while it is in use: its query fails, and tells.
  pool.on('connect', (client) => client.on('error', () => {}));
  return new Kysely<T>({
    dialect: tellingFailures(new PostgresDialect({ pool })),
    plugins: [new WithoutNul()],
  });
}

/**
 * SQLite whose transactions are writers from their first statement on: one that only became a writer after it had read
 * would be refused, without waiting, where another process had written meanwhile.
 */
class WritersDialect extends SqliteDialect {
  readonly #config: { readonly database: KyselySqlite };

  constructor(config: { readonly database: KyselySqlite }) {
    super(config);
    this.#config = config;
  }

  override createDriver(): SqliteDriver {
    return new WritersDriver(this.#config);
  }
}

class WritersDriver extends SqliteDriver {
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }
}

/** A URL as it may stand in a message. */
function redacted(location: string): string {
  return location.replace(/:\/\/[^@/]*@/, '://…@');
}
