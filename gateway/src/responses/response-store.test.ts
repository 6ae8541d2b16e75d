import { type Database, openDatabase } from '@polylora/adapters-store';
import { beforeEach, expect, it } from 'vitest';
import { describeOnDatabases } from '../../../test/support/databases.ts';
import { createLogger } from '../logging.ts';
import { SteadyClock } from '../steady-clock.ts';
import { ResponseStore, type StoredResponse } from './response-store.ts';

const LIMITS = { bytesPerTenant: 64 * 1024, seconds: 1000 };

function response(id: string, previous: string | null = null, text = id): StoredResponse {
  const content = [{ type: 'input_text', text }] as const;
  const item = { id: `msg_${id}`, type: 'message', status: 'completed', role: 'user', content } as const;
  const body = { id, previous_response_id: previous, output: [] } as unknown as StoredResponse['body'];
  return { body, input: [item] };
}

describeOnDatabases('the store of responses', (location) => {
  let database: Database;
  let store: ResponseStore;
  const time = { wall: 1_800_000_000_000, steady: 0.5 };
  const pass = (milliseconds: number) => {
    time.wall += milliseconds;
    time.steady += milliseconds;
  };
  const opened = (options: { database?: Database; bytesPerTenant?: number } = {}) =>
    ResponseStore.open({
      ...{ database: options.database ?? database, logger: createLogger('silent') },
      limits: { ...LIMITS, ...options },
      clock: new SteadyClock(
        () => time.wall,
        () => time.steady,
      ),
    });

  beforeEach(async () => {
    database = await openDatabase(await location());
    store = await opened();
    return async () => {
      store.close();
      await database.destroy();
    };
  });

  it('finds what was added, for its tenant alone', async () => {
    await store.add('a', response('r1'));
    expect(await store.find('a', 'r1')).toEqual(response('r1'));
    expect(await store.find('b', 'r1')).toBeNull();
    expect(await store.remove('b', 'r1')).toBe(false);
    expect(await store.remove('a', 'r1')).toBe(true);
    expect(await store.find('a', 'r1')).toBeNull();
  });

  it('finds nothing by an id that no database could hold', async () => {
    expect(await store.find('a', 'r1\0')).toBeNull();
    expect(await store.conversation('a', '\0')).toBeNull();
    expect(await store.remove('\0', '\0')).toBe(false);
  });

  it('follows a conversation from its beginning, and knows when a part is gone', async () => {
    await store.add('a', response('r1'));
    await store.add('a', response('r2', 'r1'));
    await store.add('a', response('r3', 'r2'));
    const ids = (await store.conversation('a', 'r3'))?.map(({ id }) => id);
    expect(ids).toEqual(['r1', 'r2', 'r3']);
    expect(await store.conversation('b', 'r3')).toBeNull();
    await store.remove('a', 'r1');
    expect(await store.conversation('a', 'r3')).toBeNull();
  });

  it('follows a long conversation to its beginning, in one query that reads nothing else', async () => {
    store.close();
    let queries = 0;
    const counting: Parameters<Database['withPlugin']>[0] = {
      transformQuery({ node }) {
        queries++;
        return node;
      },
      transformResult: async ({ result }) => result,
    };
    store = await opened({ database: database.withPlugin(counting), bytesPerTenant: 1 << 30 });
    for (let turn = 0; turn < 1_500; turn++)
      await store.add('a', response(`r${turn}`, turn === 0 ? null : `r${turn - 1}`));
    const others = Array.from({ length: 20_000 }, (_, other) => ({
      ...{ id: `other${other}`, tenant: 'a', previous: null, input: '[]', body: '{}', bytes: 4 },
      created_at: time.wall,
    }));
    const tables = database.withTables<{ response: object }>();
    for (let begin = 0; begin < others.length; begin += 1_000)
      await tables
        .insertInto('response')
        .values(others.slice(begin, begin + 1_000))
        .execute();
    queries = 0;
    const begun = performance.now();
    const ids = (await store.conversation('a', 'r1499'))?.map(({ id }) => id);
    expect(ids).toEqual(Array.from({ length: 1_500 }, (_, turn) => `r${turn}`));
    expect(queries).toBe(1);
    // Where each turn is looked for among all that the tenant has, it is seconds.
    expect(performance.now() - begun).toBeLessThan(1_000);
  });

  it('refuses a conversation that is too long rather than to leave out how it began', async () => {
    store.close();
    store = await opened({ bytesPerTenant: 1 << 30 });
    const megabyte = 'x'.repeat(1 << 20);
    for (let turn = 0; turn < 17; turn++)
      await store.add('a', response(`r${turn}`, turn === 0 ? null : `r${turn - 1}`, megabyte));
    expect(await store.conversation('a', 'r14')).toHaveLength(15);
    const told = await store.conversation('a', 'r16').then(
      (turns) => turns?.length,
      ({ code, param }) => [code, param],
    );
    expect(told).toEqual(['conversation_too_long', 'previous_response_id']);
  });

  it('counts of a conversation, and reads, only what was said', async () => {
    store.close();
    store = await opened({ bytesPerTenant: 1 << 30 });
    const large = 'x'.repeat(2 << 20);
    const said = (id: string) => ({
      ...{ id, type: 'message', status: 'completed', role: 'assistant' },
      content: [{ type: 'output_text', text: id, annotations: [], logprobs: [{ token: large }] }],
    });
    const read: string[] = [];
    const watching: Parameters<Database['withPlugin']>[0] = {
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => {
        read.push(JSON.stringify(result.rows));
        return result;
      },
    };
    for (let turn = 0; turn < 12; turn++) {
      const { body, input } = response(`r${turn}`, turn === 0 ? null : `r${turn - 1}`);
      const more = { instructions: large, tools: [{ description: large }], output: [said(`o${turn}`)] };
      await store.add('a', { body: { ...body, ...more } as unknown as StoredResponse['body'], input });
    }
    store.close();
    store = await opened({ database: database.withPlugin(watching) });
    read.length = 0;
    const turns = await store.conversation('a', 'r11');
    expect(turns).toHaveLength(12);
    expect(turns?.[3]).toEqual({
      id: 'r3',
      input: response('r3').input,
      output: [
        { ...said('o3'), content: [{ type: 'output_text', text: 'o3', annotations: [], logprobs: [] }] },
      ],
    });
    expect(read.join('').length).toBeLessThan(100_000);
    // What is asked for as it was answered has all of it.
    expect(JSON.stringify(await store.find('a', 'r3')).length).toBeGreaterThan(3 * large.length);
  });

  it('goes on from what a server of an earlier version stored', async () => {
    const { body, input } = response('old');
    const output = [{ id: 'm', type: 'message', role: 'assistant', content: [] }];
    await database
      .withTables<{ response: object }>()
      .insertInto('response')
      .values({
        ...{ id: 'old', tenant: 'a', previous: null, input: JSON.stringify(input) },
        ...{ body: JSON.stringify({ ...body, output }), bytes: 100, created_at: time.wall },
      })
      .execute();
    await store.add('a', response('new', 'old'));
    expect(await store.conversation('a', 'new')).toMatchObject([{ id: 'old', input, output }, { id: 'new' }]);
  });

  it('lets the oldest of a tenant make room, and nobody else’s', async () => {
    await store.add('b', response('other'));
    for (let index = 100; index < 200; index++)
      await store.add('a', response(`r${index}`, null, 'x'.repeat(2000)));
    expect(await store.find('a', 'r100')).toBeNull();
    expect(await store.find('a', 'r199')).not.toBeNull();
    expect(await store.find('b', 'other')).not.toBeNull();
    const rows = await database
      .withTables<{ response: { bytes: number } }>()
      .selectFrom('response')
      .select('bytes')
      .execute();
    const kept = rows.reduce((sum, { bytes }) => sum + Number(bytes), 0);
    expect(kept).toBeLessThan(LIMITS.bytesPerTenant * 1.1);
    expect(kept).toBeGreaterThan(LIMITS.bytesPerTenant * 0.8);
  });

  it('forgets what is old, also what is still on the disk', async () => {
    await store.add('a', response('r1'));
    pass(LIMITS.seconds * 1000 + 1);
    expect(await store.find('a', 'r1')).toBeNull();
    (await opened()).close();
    expect(
      await database.withTables<{ response: object }>().selectFrom('response').selectAll().execute(),
    ).toEqual([]);
  });

  it('forgets nothing early while the machine’s clock is ahead', async () => {
    await store.add('a', response('r1'));
    time.wall += 2 * LIMITS.seconds * 1000;
    await store.add('a', response('r2', 'r1'));
    expect(await store.find('a', 'r1')).not.toBeNull();
    expect(await store.conversation('a', 'r2')).toHaveLength(2);
    time.wall -= 2 * LIMITS.seconds * 1000;
    pass(LIMITS.seconds * 1000 + 1);
    expect(await store.find('a', 'r2')).toBeNull();
  });

  it('lets the oldest by time make room, whatever time their ids were made of', async () => {
    await store.add('a', response('z', null, 'x'.repeat(2000)));
    for (let index = 0; index < 40; index++) {
      pass(1);
      await store.add('a', response(`r${String(index).padStart(2, '0')}`, null, 'x'.repeat(2000)));
    }
    expect(await store.find('a', 'z')).toBeNull();
    expect(await store.find('a', 'r39')).not.toBeNull();
  });
});
