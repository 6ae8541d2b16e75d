import { type Database, openDatabase } from '@polylora/adapters-store';
import { pino } from 'pino';
import { beforeEach, expect, it } from 'vitest';
import { describeOnDatabases } from '../../../../test/support/databases.ts';
import { MOST_STORED_CATEGORIES, StoredCategories } from './stored-categories.ts';

describeOnDatabases('categories that administrators set', (location) => {
  let [place, lines]: [string, string[]] = ['', []];
  let database: Database;
  const logger = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const open = (on = database) => StoredCategories.open({ database: on, now: () => 5, logger });

  beforeEach(async () => {
    place = await location();
    lines = [];
    database = await openDatabase(place);
    return () => database.destroy();
  });

  const acts = () =>
    database
      .selectFrom('audit')
      .select(['at', 'actor', 'action', 'subject', 'details'])
      .orderBy('sequence')
      .execute();

  it('are there after a restart, each with its entry in the audit log', async () => {
    const stored = await open();
    const examples = Array.from({ length: 12 }, (_, number) => `Which canary is number ${number}?`);
    expect(await stored.set('code', { strictness: 0.9, adaptive: null }, 'operator')).toBe(true);
    expect(await stored.set('birds', { examples, ttlSeconds: 60 }, 'operator/key_1')).toBe(true);
    const values = { code: { strictness: 0.9, adaptive: null }, birds: { examples, ttlSeconds: 60 } };
    expect(stored.values).toEqual(values);
    expect((await open()).values).toEqual(values);
    expect(await acts()).toEqual([
      {
        ...{ at: 5, actor: 'operator', action: 'cache.category.set', subject: 'cache_category:code' },
        details: '{"strictness":0.9,"adaptive":null}',
      },
      {
        ...{ at: 5, actor: 'operator/key_1', action: 'cache.category.set', subject: 'cache_category:birds' },
        // What is asked is nobody's affair who reads the log.
        details: '{"ttlSeconds":60,"examples":12}',
      },
    ]);
  });

  it('take the place of what was set before, and go again', async () => {
    const stored = await open();
    await stored.set('code', { strictness: 0.9, ttlSeconds: 60 }, 'operator');
    await stored.set('code', { strictness: 0.8 }, 'operator');
    expect(stored.values).toEqual({ code: { strictness: 0.8 } });
    expect([await stored.remove('code', 'operator'), await stored.remove('code', 'operator')]).toEqual([
      true,
      false,
    ]);
    expect(stored.values).toEqual({});
    expect((await acts()).map(({ action }) => action)).toEqual([
      'cache.category.set',
      'cache.category.set',
      'cache.category.reset',
    ]);
  });

  it('reach another server of the database, once', async () => {
    const stored = await open();
    const elsewhere = await openDatabase(place);
    try {
      const other = await open(elsewhere);
      expect(await other.follow()).toBe(false);
      await stored.set('code', { enabled: false }, 'operator');
      expect(other.values).toEqual({});
      expect([await other.follow(), await other.follow()]).toEqual([true, false]);
      expect(other.values).toEqual({ code: { enabled: false } });
      await other.remove('code', 'operator');
      expect(await stored.follow()).toBe(true);
      expect(stored.values).toEqual({});
    } finally {
      await elsewhere.destroy();
    }
  });

  it('are so many at most, which can all be changed', async () => {
    const stored = await open();
    for (let i = 0; i < MOST_STORED_CATEGORIES; i++)
      await stored.set(`own-${i}`, { priority: 1 }, 'operator');
    expect(await stored.set('one-more', { priority: 1 }, 'operator')).toBe(false);
    expect(await stored.set('own-1', { priority: 2 }, 'operator')).toBe(true);
    expect(Object.keys(stored.values)).toHaveLength(MOST_STORED_CATEGORIES);
    expect(stored.values['own-1']).toEqual({ priority: 2 });
  });

  it('of a version that knows more are left out, and told of', async () => {
    const stored = await open();
    await stored.set('code', { priority: 2 }, 'operator');
    const later = { priority: 2, ofTheFuture: true };
    await stored.set('math', later, 'operator');
    expect(stored.values).toEqual({ code: { priority: 2 } });
    expect(lines).toEqual([expect.stringContaining('"category":"math"')]);
  });
});
