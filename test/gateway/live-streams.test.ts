/** Who may watch what goes on, for how long and how often, by either stream. RELIABILITY 23. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createParser } from 'eventsource-parser';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RecentRequests } from '../../gateway/src/requests/recent-requests.ts';
import { SteadyClock } from '../../gateway/src/steady-clock.ts';
import { openApp, type TestApp } from '../support/app.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const HOUR = 3_600_000;
const STREAMS = ['/admin/v1/live', '/admin/v1/requests/live'] as const;
/** Streams look each second whether their key holds, of which another server knows within a second. */
const ENDS_WITHIN = { timeout: 5_000 };

let gateway: TestApp;
let requests: RecentRequests;
let hours = 0;
/** All that is watched, to be left in the end. */
const left: (() => void)[] = [];

beforeEach(async () => {
  hours = 0;
  requests = new RecentRequests();
  const clock = new SteadyClock(
    () => Date.now() + hours * HOUR,
    () => performance.now() + hours * HOUR,
  );
  gateway = await openApp({ requests, clock });
  for (const id of ['acme', 'other']) await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/tenants', { id });
});
afterEach(async () => {
  for (const leave of left.splice(0)) leave();
  await gateway.close();
});

async function newKey(
  tenant = 'acme',
  app = gateway,
): Promise<{ readonly id: string; readonly key: string }> {
  const { status, json } = await app.ask(OPERATOR_KEY, 'POST', '/admin/v1/keys', {
    tenant,
    role: 'admin',
  });
  expect(status).toBe(201);
  return json;
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

async function session(key: string) {
  const response = await gateway.app.request('/admin/session', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ key }),
  });
  const [cookie = ''] = (response.headers.get('set-cookie') ?? '').split(';');
  return { cookie };
}

interface Watching {
  readonly status: number;
  /** Names, as they come. */
  readonly events: string[];
  readonly hasEnded: () => boolean;
  leave(): Promise<void>;
}

async function watch(path: string, headers: Record<string, string>, of = gateway): Promise<Watching> {
  const response = await of.app.request(path, { headers });
  const reader = response.body!.getReader();
  const events: string[] = [];
  let hasEnded = false;
  const parser = createParser({ onEvent: ({ event = 'message' }) => events.push(event) });
  const read = async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parser.feed(new TextDecoder().decode(value));
    }
    hasEnded = true;
  };
  const reading = read();
  const leave = async () => {
    await reader.cancel();
    await reading;
  };
  left.push(() => void leave());
  if (response.status === 200) await expect.poll(() => events.length).toBeGreaterThan(0);
  return { status: response.status, events, hasEnded: () => hasEnded, leave };
}

/** A request of a tenant's, as it begins. */
function begin(tenant: string): void {
  const record = requests.arrive({
    ...{ requestId: 'req_1', at: 1, arrived: performance.now() },
    ...{ method: 'POST', route: '/v1/completions' },
  });
  record.tenant = tenant;
  requests.begin(record);
}

describe.each(STREAMS)('%s', (path) => {
  it.each([
    ['blocked', (id: string) => ['POST', `${id}/block`, undefined] as const],
    ['removed', (id: string) => ['DELETE', id, undefined] as const],
    ["made a user's", (id: string) => ['PATCH', id, { role: 'user' }] as const],
    ['rotated, with another text', (id: string) => ['POST', `${id}/rotate`, { overlap_seconds: 0 }] as const],
  ] as const)('ends with its key, by whichever way it came: %s', async (_, change) => {
    const { id, key } = await newKey();
    const [byKey, bySession] = [await watch(path, bearer(key)), await watch(path, await session(key))];
    const other = await watch(path, bearer((await newKey()).key));
    const [method, target, body] = change(id);
    expect((await gateway.ask(OPERATOR_KEY, method, `/admin/v1/keys/${target}`, body)).status).toBe(200);
    await expect.poll(byKey.hasEnded, ENDS_WITHIN).toBe(true);
    await expect.poll(bySession.hasEnded, ENDS_WITHIN).toBe(true);
    expect(other.hasEnded()).toBe(false);
  });

  it('goes on while a text of the key that was rotated holds', async () => {
    const { id, key } = await newKey();
    const live = await watch(path, bearer(key));
    await gateway.ask(OPERATOR_KEY, 'POST', `/admin/v1/keys/${id}/rotate`, { overlap_seconds: 60 });
    const before = live.events.length;
    // More than the one that may have been under way: it was looked at, and let through.
    await expect.poll(() => live.events.length, ENDS_WITHIN).toBeGreaterThan(before + 1);
    expect(live.hasEnded()).toBe(false);
  });

  it('ends with its session', async () => {
    const [operator, bySession] = [
      await watch(path, bearer(OPERATOR_KEY)),
      await watch(path, await session(OPERATOR_KEY)),
    ];
    hours = 11.99;
    const before = bySession.events.length;
    await expect.poll(() => bySession.events.length, ENDS_WITHIN).toBeGreaterThan(before + 1);
    hours = 12.01;
    await expect.poll(bySession.hasEnded, ENDS_WITHIN).toBe(true);
    expect(operator.hasEnded()).toBe(false);
  });

  it('shows each second that it is alive', async () => {
    const live = await watch(path, bearer(OPERATOR_KEY));
    await expect.poll(() => live.events.length, { timeout: 4_000 }).toBeGreaterThan(2);
    expect(live.events.at(-1)).toBe(path === STREAMS[0] ? 'snapshot' : 'alive');
  });

  it('takes no room for HEAD', async () => {
    for (let time = 0; time < 120; time++) {
      const { status } = await gateway.app.request(path, { method: 'HEAD', headers: bearer(OPERATOR_KEY) });
      expect(status).toBe(200);
    }
    expect((await watch(path, bearer(OPERATOR_KEY))).status).toBe(200);
  });
});

it('nothing is told of a request after the key was taken away', async () => {
  const { id, key } = await newKey();
  const live = await watch(STREAMS[1], bearer(key));
  begin('acme');
  await expect.poll(() => live.events).toContain('request');
  const told = live.events.filter((event) => event === 'request').length;
  await gateway.ask(OPERATOR_KEY, 'POST', `/admin/v1/keys/${id}/rotate`, { overlap_seconds: 0 });
  begin('acme');
  await expect.poll(live.hasEnded, ENDS_WITHIN).toBe(true);
  expect(live.events.filter((event) => event === 'request')).toHaveLength(told);
});

it('nothing is told after a second by another server of the database, either', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'polylora-live-streams-'));
  const databaseFile = join(folder, 'shared.db');
  const first = await openApp({ databaseFile });
  const second = await openApp({ databaseFile, requests });
  try {
    await first.ask(OPERATOR_KEY, 'POST', '/admin/v1/tenants', { id: 'acme' });
    const { id, key } = await newKey('acme', first);
    const live = await watch(STREAMS[1], bearer(key), second);
    expect(live.status).toBe(200);
    const path = `/admin/v1/keys/${id}/rotate`;
    expect((await first.ask(OPERATOR_KEY, 'POST', path, { overlap_seconds: 0 })).status).toBe(200);
    await sleep(1_000);
    begin('acme');
    await expect.poll(live.hasEnded, ENDS_WITHIN).toBe(true);
    expect(live.events).not.toContain('request');
  } finally {
    for (const app of [first, second]) await app.close();
    await rm(folder, { recursive: true });
  }
});

it('a tenant has ten streams of both kinds, and takes nobody else’s room', async () => {
  const { key } = await newKey();
  const all: Watching[] = [];
  for (let each = 0; each < 10; each++) all.push(await watch(STREAMS[each % 2]!, bearer(key)));
  for (const path of STREAMS) {
    const refused = await gateway.ask(key, 'GET', path);
    expect([refused.status, refused.json.error.code]).toEqual([429, 'live_views_exceeded']);
    expect((await watch(path, bearer(OPERATOR_KEY))).status).toBe(200);
    expect((await watch(path, bearer((await newKey('other')).key))).status).toBe(200);
  }
  await all[1]!.leave();
  expect((await watch(STREAMS[0], bearer(key))).status).toBe(200);
});

it('a page of the list is not looked for by what another process has told', async () => {
  const another = new RecentRequests();
  begin('acme');
  const { json } = await gateway.ask(OPERATOR_KEY, 'GET', '/admin/v1/requests');
  const [{ id }] = json.data;
  expect((await gateway.ask(OPERATOR_KEY, 'GET', `/admin/v1/requests?after=${id}`)).json.data).toEqual([]);
  const restarted = await openApp({ requests: another });
  try {
    const { status, json } = await restarted.ask(OPERATOR_KEY, 'GET', `/admin/v1/requests?after=${id}`);
    expect([status, json.error.param]).toEqual([400, 'after']);
    expect(json.error.message).toContain('started anew');
  } finally {
    await restarted.close();
  }
});
