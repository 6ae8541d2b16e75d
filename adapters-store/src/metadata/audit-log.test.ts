import { CompiledQuery } from 'kysely';
import { beforeEach, expect, it } from 'vitest';
import { describeOnDatabases } from '../../../test/support/databases.ts';
import { audit, auditEntries, verifyAudit } from './audit-log.ts';
import { type Database, inTurn, migrateBack, openDatabase } from './database.ts';

/** What takes the guard away, for whoever may change the tables. */
const UNGUARD = {
  SQLite: ['audit_no_update', 'audit_no_delete', 'audit_no_replace'].map((name) => `drop trigger ${name}`),
  PostgreSQL: ['drop trigger audit_append_only on audit'],
};

describeOnDatabases('the audit log', (location, kind) => {
  let database: Database;

  beforeEach(async () => {
    database = await openDatabase(await location());
    return () => database.destroy();
  });

  const run = (statement: string) => database.executeQuery(CompiledQuery.raw(statement));
  const unguard = async () => {
    for (const statement of UNGUARD[kind]) await run(statement);
  };
  /** Entries by two keys of a tenant and by another whose name begins alike, in turn. */
  const write = (entries: number) =>
    inTurn(database, async (transaction) => {
      for (let entry = 1; entry <= entries; entry++) {
        const actor = ['acme/key_1', 'acme/key_2', 'acme-2/key_3'][entry % 3]!;
        const action = entry % 2 === 0 ? 'key.create' : 'key.remove';
        await audit(transaction, { at: entry, actor, action, subject: `key:${entry}`, details: { entry } });
      }
    });
  const EVERYTHING = {
    limit: 10_000,
    before: null,
    tenant: null,
    actor: null,
    action: null,
    subject: null,
  };
  const sequences = async (query: Partial<typeof EVERYTHING> | object) =>
    (await auditEntries(database, { ...EVERYTHING, ...query })).map(({ sequence }) => sequence);

  it.each([
    ["update audit set details = '{}' where sequence = 2"],
    ['update audit set at = 0'],
    ['delete from audit where sequence = 3'],
    ['delete from audit'],
    kind === 'SQLite'
      ? [
          "insert or replace into audit select sequence, at, 'x', action, subject, details, previous, hash from audit",
        ]
      : ['truncate audit'],
    kind === 'SQLite'
      ? [
          "insert or replace into audit select 9, at, 'x', action, subject, details, previous, hash from audit where sequence = 3",
        ]
      : ['truncate audit cascade'],
  ])('can only be added to: %s', async (statement) => {
    await write(3);
    await expect(run(statement)).rejects.toThrow(/append-only/);
    expect(await verifyAudit(database)).toMatchObject({ brokenAt: null, entries: 3 });
    await write(1);
    expect(await verifyAudit(database)).toMatchObject({ brokenAt: null, entries: 4 });
  });

  it.each([
    ["update audit set details = '{}' where sequence = 2", 2],
    ['update audit set at = at + 1 where sequence = 4', 4],
    ['delete from audit where sequence = 3', 3],
    ['delete from audit where sequence = 1', 1],
    ["insert into audit values (0, 0, 'x', 'x', 'x', '{}', 'x', 'x')", 1],
  ])('tells where its chain breaks, once the guard is gone: %s', async (statement, brokenAt) => {
    await write(4);
    await unguard();
    await run(statement);
    expect(await verifyAudit(database)).toMatchObject({ brokenAt, entries: brokenAt - 1 });
  });

  it('tells by its last hash that its end was cut off', async () => {
    await write(4);
    const { hash } = await verifyAudit(database);
    await unguard();
    await run('delete from audit where sequence = 4');
    const cut = await verifyAudit(database);
    expect(cut).toMatchObject({ brokenAt: null, entries: 3 });
    expect(cut.hash).not.toBe(hash);
    expect(await sequences({})).toEqual([3, 2, 1]);
  });

  it('lets others run while a long one is checked, or looked through', async () => {
    await write(5_000);
    for (const work of [() => verifyAudit(database), () => sequences({ subject: 'key:1' })]) {
      let turns = 0;
      let next = setImmediate(function turn() {
        turns++;
        next = setImmediate(turn);
      });
      await work();
      clearImmediate(next);
      expect(turns).toBeGreaterThan(3);
    }
  });

  it('is read with the newest first, in pages', async () => {
    await write(7);
    expect(await sequences({ limit: 3 })).toEqual([7, 6, 5]);
    expect(await sequences({ limit: 3, before: 5 })).toEqual([4, 3, 2]);
    expect(await sequences({ limit: 3, before: 2 })).toEqual([1]);
    expect(await sequences({ before: 1 })).toEqual([]);
    const [newest] = await auditEntries(database, { ...EVERYTHING, limit: 1 });
    const { hash } = await verifyAudit(database);
    expect(newest).toEqual({
      ...{ sequence: 7, at: 7, actor: 'acme/key_2', action: 'key.remove' },
      ...{ subject: 'key:7', details: { entry: 7 }, hash },
    });
  });

  it('is looked through by who, what and on what, however far back', async () => {
    await write(3_100);
    expect(await sequences({ actor: 'acme/key_2', limit: 2 })).toEqual([3100, 3097]);
    expect(await sequences({ tenant: 'acme', limit: 3 })).toEqual([3100, 3099, 3097]);
    expect(await sequences({ tenant: 'acme', action: 'key.create', before: 7 })).toEqual([6, 4]);
    expect(await sequences({ subject: 'key:2' })).toEqual([2]);
    for (const tenant of ['acm', 'acme/', 'acme/key_1/', '%', 'ac_e'])
      expect(await sequences({ tenant })).toEqual([]);
    expect(await sequences({ actor: 'acme' })).toEqual([]);
  });

  it('shows an entry whose details are no JSON any more', async () => {
    await write(1);
    await unguard();
    await run("update audit set details = 'no'");
    expect(await auditEntries(database, EVERYTHING)).toMatchObject([{ details: 'no' }]);
  });

  it('goes back to the shape of the release before, with what is in it', async () => {
    await write(2);
    expect(await migrateBack(database)).toBe('0006_append_only_audit');
    await run('update audit set at = 1');
    await run('delete from audit');
  });
});
