import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase } from '@polylora/adapters-store';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLogger } from '../logging.ts';
import { ResponseStore, type StoredResponse } from './response-store.ts';

const LIMITS = { bytesPerTenant: 64 * 1024, seconds: 1000 };
let directory: string;
let database: Awaited<ReturnType<typeof openDatabase>>;
let store: ResponseStore;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'polylora-responses-'));
  database = await openDatabase(join(directory, 'metadata.db'));
  store = await ResponseStore.open(database, LIMITS, createLogger('silent'));
});
afterEach(async () => {
  vi.useRealTimers();
  store.close();
  await database.destroy();
  rmSync(directory, { recursive: true, force: true });
});

function response(id: string, previous: string | null = null, text = id): StoredResponse {
  const content = [{ type: 'input_text', text }] as const;
  const item = { id: `msg_${id}`, type: 'message', status: 'completed', role: 'user', content } as const;
  const body = { id, previous_response_id: previous, output: [] } as unknown as StoredResponse['body'];
  return { body, input: [item] };
}

describe('the store of responses', () => {
  it('finds what was added, for its tenant alone', async () => {
    await store.add('a', response('r1'));
    expect(await store.find('a', 'r1')).toEqual(response('r1'));
    expect(await store.find('b', 'r1')).toBeNull();
    expect(await store.remove('b', 'r1')).toBe(false);
    expect(await store.remove('a', 'r1')).toBe(true);
    expect(await store.find('a', 'r1')).toBeNull();
  });

  it('follows a conversation from its beginning, and knows when a part is gone', async () => {
    await store.add('a', response('r1'));
    await store.add('a', response('r2', 'r1'));
    await store.add('a', response('r3', 'r2'));
    const ids = (await store.conversation('a', 'r3'))?.map(({ body }) => body.id);
    expect(ids).toEqual(['r1', 'r2', 'r3']);
    expect(await store.conversation('b', 'r3')).toBeNull();
    await store.remove('a', 'r1');
    expect(await store.conversation('a', 'r3')).toBeNull();
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
    vi.useFakeTimers({ now: Date.now() + LIMITS.seconds * 1000 + 1, toFake: ['Date'] });
    expect(await store.find('a', 'r1')).toBeNull();
    const again = await ResponseStore.open(database, LIMITS, createLogger('silent'));
    again.close();
    expect(
      await database.withTables<{ response: object }>().selectFrom('response').selectAll().execute(),
    ).toEqual([]);
  });
});
