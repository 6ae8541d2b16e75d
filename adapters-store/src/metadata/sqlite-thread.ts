import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import { StorageError } from '../blobs/blob-store.ts';

const WORKER = fileURLToPath(new URL('../../dist/metadata/sqlite-worker.js', import.meta.url));

export interface SqliteThreadOptions {
  readonly file: string;
  /** The thread waits so long for another process that writes. */
  readonly busyMilliseconds: number;
  readonly pragmas: readonly string[];
}

export interface ToSqlite {
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

export type FromSqlite =
  | { readonly rows: unknown[]; readonly changes: number | null }
  | { readonly message: string; readonly code: string };

/** SQLite in a thread of its own, so that nothing here waits for its disk. Transactions are writers from their first statement on. */
export function threadDialect(options: SqliteThreadOptions): Dialect {
  return {
    createAdapter: () => new TransactionalAdapter(),
    createDriver: () => new ThreadDriver(options),
    createIntrospector: (database) => new SqliteIntrospector(database),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

/** Tables are made in one transaction: as a whole, whatever ends it, and by one process where several open the file. */
class TransactionalAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

class ThreadDriver implements Driver {
  readonly #options: SqliteThreadOptions;
  #connection: ThreadConnection | null = null;
  /** The one connection is lent to one after the other. */
  #free: Promise<void> = Promise.resolve();
  #release: () => void = () => {};

  constructor(options: SqliteThreadOptions) {
    this.#options = options;
  }

  async init(): Promise<void> {
    this.#connection = new ThreadConnection(this.#options);
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    const free = this.#free;
    let release = () => {};
    this.#free = new Promise((resolve) => {
      release = resolve;
    });
    await free;
    this.#release = release;
    if (this.#connection === null) throw new Error('the database was never opened');
    return this.#connection;
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('rollback'));
  }

  async releaseConnection(): Promise<void> {
    this.#release();
  }

  async destroy(): Promise<void> {
    await this.#connection?.close();
  }
}

interface Waiting {
  readonly resolve: (result: QueryResult<never>) => void;
  readonly reject: (error: Error) => void;
}

class ThreadConnection implements DatabaseConnection {
  readonly #worker: Worker;
  /** Answers come in the order of the questions. */
  readonly #waiting: Waiting[] = [];
  readonly #ended: Promise<void>;
  #reason: Error | null = null;

  constructor(options: SqliteThreadOptions) {
    this.#worker = new Worker(WORKER, { workerData: options, execArgv: [] });
    this.#worker.on('message', (answer: FromSqlite) => this.#answer(answer));
    this.#worker.on('error', (cause) => {
      this.#reason = cause;
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.on('exit', () => {
        this.#reason ??= new StorageError('storage_unavailable', 'the thread of the database has ended');
        for (const { reject } of this.#waiting.splice(0)) reject(this.#reason);
        resolve();
      });
    });
  }

  executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    return new Promise((resolve, reject) => {
      if (this.#reason !== null) return reject(this.#reason);
      this.#worker.postMessage({ sql, parameters } satisfies ToSqlite);
      // It keeps the process only while somebody waits for it.
      this.#worker.ref();
      this.#waiting.push({ resolve, reject });
    });
  }

  // biome-ignore lint/correctness/useYield: SQLite's thread gives all rows at once.
  async *streamQuery<Row>(): AsyncIterableIterator<QueryResult<Row>> {
    throw new Error('queries in a thread are not streamed');
  }

  close(): Promise<void> {
    this.#worker.ref();
    if (this.#reason === null) this.#worker.postMessage(null);
    return this.#ended;
  }

  #answer(answer: FromSqlite): void {
    const waiting = this.#waiting.shift();
    if (this.#waiting.length === 0) this.#worker.unref();
    if ('message' in answer) {
      waiting?.reject(Object.assign(new Error(answer.message), { code: answer.code }));
      return;
    }
    const { rows, changes } = answer;
    const result = changes === null ? {} : { numAffectedRows: BigInt(changes) };
    waiting?.resolve({ rows: rows as never[], ...result });
  }
}
