import type {
  CompiledQuery,
  DatabaseConnection,
  Dialect,
  Driver,
  QueryResult,
  TransactionSettings,
} from 'kysely';
import { StorageError } from '../blobs/blob-store.ts';

/** SQLite's codes, and PostgreSQL's classes of them, for what is the disk's or the server's fault and not the query's. */
const UNAVAILABLE =
  /^(SQLITE_(BUSY|CANTOPEN|CORRUPT|IOERR|LOCKED|NOMEM|NOTADB|PROTOCOL|READONLY)|E[A-Z]+$|(08|53|57|58)[0-9A-Z]{3}$|25006$|25P03$|40001$|40P01$|55P03$)/;
const FULL: ReadonlySet<string> = new Set(['SQLITE_FULL', '53100', 'ENOSPC', 'EDQUOT']);
/** What the client library says, without a code, of connections that broke or could not be made. */
const DISCONNECTED =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered)/;

/** The same dialect, whose driver throws StorageErrors for what the disk or the database's server could not do. */
export function tellingFailures(dialect: Dialect): Dialect {
  return {
    createAdapter: () => dialect.createAdapter(),
    createDriver: () => new TellingDriver(dialect.createDriver()),
    createIntrospector: (database) => dialect.createIntrospector(database),
    createQueryCompiler: () => dialect.createQueryCompiler(),
  };
}

class TellingDriver implements Driver {
  readonly #driver: Driver;
  /** The driver's own connections, which it knows by identity. */
  readonly #own = new WeakMap<DatabaseConnection, DatabaseConnection>();

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  init(): Promise<void> {
    return this.#driver.init();
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    const own = await told(() => this.#driver.acquireConnection());
    const connection = new TellingConnection(own);
    this.#own.set(connection, own);
    return connection;
  }

  beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    return told(() => this.#driver.beginTransaction(this.#ownOf(connection), settings));
  }

  commitTransaction(connection: DatabaseConnection): Promise<void> {
    return told(() => this.#driver.commitTransaction(this.#ownOf(connection)));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    try {
      await this.#driver.rollbackTransaction(this.#ownOf(connection));
    } catch {
      // Nothing is left to take back: SQLite does so by itself when the disk is full, and a connection to PostgreSQL that
      // cannot do it is closed. What led here is what counts, and is thrown by whoever called.
    }
  }

  releaseConnection(connection: DatabaseConnection): Promise<void> {
    return this.#driver.releaseConnection(this.#ownOf(connection));
  }

  destroy(): Promise<void> {
    return this.#driver.destroy();
  }

  #ownOf(connection: DatabaseConnection): DatabaseConnection {
    return this.#own.get(connection) ?? connection;
  }
}

class TellingConnection implements DatabaseConnection {
  readonly #own: DatabaseConnection;

  constructor(own: DatabaseConnection) {
    this.#own = own;
  }

  executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    return told(() => this.#own.executeQuery<Row>(query));
  }

  streamQuery<Row>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<Row>> {
    return this.#own.streamQuery<Row>(query, chunkSize);
  }
}

async function told<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw failureOf(error);
  }
}

/** A database's error as one of the storage's; any other is given back as it is. */
function failureOf(cause: unknown): unknown {
  if (!(cause instanceof Error)) return cause;
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
  if (FULL.has(code)) {
    const message = "there is no room left for the store's metadata; make some on its disk or enlarge it";
    return new StorageError('storage_full', message, { cause });
  }
  if (!UNAVAILABLE.test(code) && !DISCONNECTED.test(cause.message)) return cause;
  const reason = code === '' ? 'the connection broke' : code;
  return new StorageError('storage_unavailable', `the store's metadata cannot be used (${reason})`, {
    cause,
  });
}
