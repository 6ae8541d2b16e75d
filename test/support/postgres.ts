import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../benchmarks/src/http/free-port.ts';

/** Where Debian puts PostgreSQL's programs, a folder for each release. */
const DEBIAN = '/usr/lib/postgresql';
const START_MILLISECONDS = 30_000;

export interface PostgresServer {
  /** `postgres://…` of an empty database. */
  url(): Promise<string>;
  /** Ends every connection, as a restart of the server does. */
  disconnect(): void;
  stop(): Promise<void>;
}

/** The folder of PostgreSQL's programs, or null where it is not installed: tests that need it are then skipped. */
export function postgresPrograms(): string | null {
  if (!existsSync(DEBIAN)) return null;
  const [newest] = readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a));
  const folder = join(DEBIAN, newest ?? '', 'bin');
  return existsSync(join(folder, 'initdb')) ? folder : null;
}

/** Makes an empty cluster in a temporary directory. @param args of `initdb` */
function initialize(programs: string, args: readonly string[]) {
  const directory = mkdtempSync(join(tmpdir(), 'polylora-postgres-'));
  const data = join(directory, 'data');
  writeFileSync(join(directory, 'password'), 'of its own\n');
  // PostgreSQL refuses to run as root; Debian's package makes a user for it.
  const user = process.getuid?.() === 0 ? idsOf('postgres') : null;
  if (user !== null) chownSync(directory, user.uid, user.gid);
  chmodSync(directory, 0o700);
  const options = { ...user, cwd: directory, stdio: 'ignore' } as const;
  const all = ['-D', data, '-U', 'polylora', '--pwfile', join(directory, 'password'), '--no-sync', ...args];
  execFileSync(join(programs, 'initdb'), all, options);
  return { directory, data, options };
}

/** What `initdb` with these arguments writes into `pg_hba.conf`: who has to say what to be let in. */
export function accessRules(programs: string, args: readonly string[]): string {
  const { directory, data } = initialize(programs, args);
  try {
    return readFileSync(join(data, 'pg_hba.conf'), 'utf8');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Starts a server of its own in a temporary directory. */
export async function startPostgres(programs: string): Promise<PostgresServer> {
  const { directory, data, options } = initialize(programs, ['-A', 'trust']);
  const port = await freePort();
  const server = spawn(
    join(programs, 'postgres'),
    [
      '-D',
      data,
      '-p',
      String(port),
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      `unix_socket_directories=${directory}`,
    ],
    options,
  );
  const ended = once(server, 'exit');
  const psql = (database: string, command: string) =>
    execFileSync(
      join(programs, 'psql'),
      ['-h', '127.0.0.1', '-p', String(port), '-U', 'polylora', '-d', database, '-c', command],
      { stdio: 'ignore' },
    );
  const deadline = performance.now() + START_MILLISECONDS;
  for (;;) {
    try {
      psql('postgres', 'select 1');
      break;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(50);
    }
  }
  let databases = 0;
  return {
    async url() {
      const name = `test_${databases++}`;
      psql('postgres', `create database ${name}`);
      return `postgres://polylora@127.0.0.1:${port}/${name}`;
    },
    disconnect() {
      psql(
        'postgres',
        'select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()',
      );
    },
    async stop() {
      server.kill('SIGINT');
      await ended;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function idsOf(user: string): { uid: number; gid: number } {
  const id = (flag: string) => Number(execFileSync('id', [flag, user], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}
