import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, openDatabase, withoutDisk } from './database.ts';

const FULL = 2;
const NORMAL = 1;

let directory: string;
let database: Database;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'polylora-database-'));
  database = await openDatabase(join(directory, 'polylora.db'));
  await sql`create table note (text text)`.execute(database);
});

afterAll(async () => {
  await database.destroy();
  await rm(directory, { recursive: true });
});

async function waiting(on: Pick<Database, 'getExecutor'>): Promise<number | undefined> {
  const { rows } = await sql<{ synchronous: number }>`pragma synchronous`.execute(on);
  return rows[0]?.synchronous;
}

async function notes(): Promise<unknown[]> {
  const { rows } = await sql`select text from note`.execute(database);
  return rows;
}

describe('changes that do not wait for the disk', () => {
  it('are made as one, and those after them wait again', async () => {
    const within = await withoutDisk(database, async (transaction) => {
      await sql`insert into note values ('a')`.execute(transaction);
      await sql`insert into note values ('b')`.execute(transaction);
      return waiting(transaction);
    });
    expect([within, await waiting(database)]).toEqual([NORMAL, FULL]);
    expect(await notes()).toHaveLength(2);
  });

  it('are not made where one fails, and those after them wait again', async () => {
    const failing = withoutDisk(database, async (transaction) => {
      await sql`insert into note values ('c')`.execute(transaction);
      await sql`insert into nothing values ('d')`.execute(transaction);
    });
    await expect(failing).rejects.toThrow('nothing');
    expect(await notes()).toHaveLength(2);
    expect(await waiting(database)).toBe(FULL);
  });
});
