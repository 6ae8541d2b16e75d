import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { type PostgresServer, postgresPrograms, startPostgres } from './postgres.ts';

export type DatabaseKind = 'SQLite' | 'PostgreSQL';

/**
 * The same tests on both databases; PostgreSQL's half is skipped with a message where that is not installed.
 * @param suite takes what makes the location of an empty database
 */
export function describeOnDatabases(
  name: string,
  suite: (location: () => Promise<string>, kind: DatabaseKind) => void,
): void {
  const programs = postgresPrograms();
  if (programs === null) console.warn('PostgreSQL is not installed: its half of these tests is skipped');
  describe.each(['SQLite', 'PostgreSQL'] as const)(`${name} on %s`, (kind) => {
    describe.skipIf(kind === 'PostgreSQL' && programs === null)('', () => {
      let folder: string;
      let postgres: PostgresServer | null = null;
      let databases = 0;
      beforeAll(async () => {
        folder = await mkdtemp(join(tmpdir(), 'polylora-databases-'));
        if (kind === 'PostgreSQL') postgres = await startPostgres(programs!);
      });
      afterAll(async () => {
        await postgres?.stop();
        await rm(folder, { recursive: true });
      });
      suite(async () => (await postgres?.url()) ?? join(folder, `${databases++}.db`), kind);
    });
  });
}
