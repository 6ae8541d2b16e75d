import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import {
  CompiledQuery,
  type DatabaseConnection,
  Kysely,
  type Migration,
  Migrator,
  PostgresDialect,
  SqliteDialect,
  SqliteDriver,
  sql,
  type Transaction,
} from 'kysely';
import { Pool, types } from 'pg';
import { isPostgres } from './dialect.ts';
import { tellingFailures } from './failures.ts';
import { MIGRATIONS } from './migrations.ts';
import type { Tables } from './tables.ts';
import { WithoutNul } from './without-nul.ts';

export type Database = Kysely<Tables>;

/** PostgreSQL's type of `bigint`. Ours are counts and times, all well below 2^53. */
const INT8 = 20;
const BUSY_MILLISECONDS = 5_000;
const CONNECT_MILLISECONDS = 5_000;
const IDLE_MILLISECONDS = 15_000;
const MOST_CONNECTIONS = 8;
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
  const database = /^postgres(ql)?:\/\//.test(location) ? openPostgres(location) : await openSqlite(location);
  try {
    await migrate(database);
  } catch (cause) {
    await database.destroy();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MetadataError(`the metadata in ${redacted(location)} cannot be used: ${reason}`, { cause });
  }
  return database;
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
export async function migrateBeside(
  database: Database,
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

async function openSqlite(file: string): Promise<Database> {
  try {
    await mkdir(dirname(file), { recursive: true });
    const sqlite = new SqliteDatabase(file, { timeout: BUSY_MILLISECONDS });
    sqlite.pragma('journal_mode = WAL');
    // What was acknowledged survives a power failure.
    sqlite.pragma('synchronous = FULL');
    sqlite.pragma('foreign_keys = ON');
    return new Kysely<Tables>({ dialect: tellingFailures(new WritersDialect({ database: sqlite })) });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MetadataError(`the metadata in ${file} cannot be opened: ${reason}`, { cause });
  }
}

function openPostgres(url: string): Database {
  const pool = new Pool({
    connectionString: url,
    max: MOST_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_MILLISECONDS,
    lock_timeout: BUSY_MILLISECONDS,
    // A gateway that hangs in the midst of a change does not keep the others from theirs.
    idle_in_transaction_session_timeout: IDLE_MILLISECONDS,
    types: {
      getTypeParser: (type: number, format?: 'text' | 'binary') =>
        type === INT8 ? Number : types.getTypeParser(type, format as 'text'),
    },
  });
  // An idle connection that breaks is replaced when it is next needed; without a listener it would end the process.
  pool.on('error', () => {});
  // Nor does one that breaks while it is in use: its query fails, and tells.
  pool.on('connect', (client) => client.on('error', () => {}));
  return new Kysely<Tables>({
    dialect: tellingFailures(new PostgresDialect({ pool })),
    plugins: [new WithoutNul()],
  });
}

/**
 * SQLite whose transactions are writers from their first statement on: one that only became a writer after it had read
 * would be refused, without waiting, where another process had written meanwhile.
 */
class WritersDialect extends SqliteDialect {
  readonly #config: { readonly database: SqliteDatabase.Database };

  constructor(config: { readonly database: SqliteDatabase.Database }) {
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
