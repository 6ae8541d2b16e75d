/** Entry point of a thread that runs queries on a file of SQLite's, one after the other, as `sqlite-thread.ts` asks. */
import { parentPort, workerData } from 'node:worker_threads';
import SqliteDatabase from 'better-sqlite3';
import type { FromSqlite, SqliteThreadOptions, ToSqlite } from './sqlite-thread.ts';

const port = parentPort!;
const { file, busyMilliseconds, pragmas } = workerData as SqliteThreadOptions;
const database = new SqliteDatabase(file, { timeout: busyMilliseconds });
for (const pragma of pragmas) database.pragma(pragma);

function run({ sql, parameters }: ToSqlite): FromSqlite {
  try {
    const statement = database.prepare(sql);
    if (statement.reader) return { rows: statement.all(parameters), changes: null };
    return { rows: [], changes: statement.run(parameters).changes };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { message: error.message, code: 'code' in error ? String(error.code) : '' };
  }
}

port.on('message', (asked: ToSqlite | null) => {
  if (asked !== null) return void port.postMessage(run(asked));
  database.close();
  port.close();
});
