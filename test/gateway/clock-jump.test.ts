/** RELIABILITY 33: what ends at a time, and what is counted by the minute, while the machine's clock or Redis' is wrong by an hour. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Hold, Scope } from '../../gateway/src/admission/counters.ts';
import { MemoryCounters } from '../../gateway/src/admission/memory-counters.ts';
import { RedisCounters } from '../../gateway/src/admission/redis-counters.ts';
import { createLogger } from '../../gateway/src/logging.ts';
import { SteadyClock } from '../../gateway/src/steady-clock.ts';
import { limitsOf } from '../../gateway/src/tenants/limits.ts';
import { adapterForm } from '../support/adapter-form.ts';
import { openApp } from '../support/app.ts';
import { FIXTURES } from '../support/engine.ts';
import { type Gateway, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { HAS_REDIS, startRedis } from '../support/redis.ts';
import { HAS_SHIFTED_CLOCKS, type ShiftedClock, shiftedClock } from '../support/shifted-clock.ts';
import { MODEL } from '../support/store-model.ts';

if (!HAS_SHIFTED_CLOCKS) console.warn('No C compiler: the tests of processes whose clocks jump are skipped');

const DAY = 86_400_000;
const HOUR_SECONDS = 3600;
/** Forward and back, and back and forward. */
const JUMPS = [HOUR_SECONDS, 0, -HOUR_SECONDS, 0];

it('versions that no tag stands for stay as long as they should when the clock jumps', async () => {
  const time = { wall: 1_800_000_000_000, steady: 0.5 };
  const clock = new SteadyClock(
    () => time.wall,
    () => time.steady,
  );
  const gateway = await openApp({ clock });
  const folder = await mkdtemp(join(tmpdir(), 'polylora-clock-'));
  try {
    const push = async (seed: number) => {
      await writeRandomAdapter(folder, MODEL, { rank: 2, seed });
      const form = await adapterForm('acme/a', folder);
      const { status, json } = await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/adapters', form);
      expect(status).toBe(201);
      return json.digest;
    };
    const first = await push(1);
    await push(2);
    time.wall += DAY;
    expect(await gateway.store.store.collect()).toEqual([]);
    time.wall -= DAY;
    time.wall += 61_000;
    time.steady += 61_000;
    expect(await gateway.store.store.collect()).toEqual([first]);
  } finally {
    await gateway.close();
    await rm(folder, { recursive: true });
  }
});

describe.skipIf(!HAS_SHIFTED_CLOCKS)("a server whose machine's clock jumps", () => {
  let clock: ShiftedClock;
  let gateway: Gateway;
  beforeAll(async () => {
    clock = await shiftedClock();
    const tiny = ['--model', join(FIXTURES, 'models', 'llama'), '--weights', 'f32', '--pool-megabytes', '64'];
    gateway = await startGateway({
      ...{ auth: 'keys', adapters: null, args: [...tiny, '--log-level', 'warn'] },
      env: { ...clock.env, POLYLORA_OPERATOR_KEY: OPERATOR_KEY },
    });
    await admin('tenants', { id: 'acme' });
  }, START_MILLISECONDS);
  afterEach(() => clock.set(0));
  afterAll(async () => {
    await gateway?.stop();
    await clock?.remove();
  });

  async function admin(path: string, body: object): Promise<{ id: string; key: string }> {
    const response = await fetch(`${gateway.url}/admin/v1/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${OPERATOR_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
    return (await response.json()) as { id: string; key: string };
  }

  async function status(key: string): Promise<number> {
    const headers = { authorization: `Bearer ${key}` };
    const response = await fetch(`${gateway.url}/v1/models`, { headers });
    await response.arrayBuffer();
    return response.status;
  }

  const inSeconds = (seconds: number) => Math.ceil(Date.now() / 1000) + seconds;

  it('sees the jump, and still ends keys at their time and not before', async () => {
    const lasting = await admin('keys', { tenant: 'acme', expires: inSeconds(HOUR_SECONDS / 2) });
    const short = await admin('keys', { tenant: 'acme', expires: inSeconds(1) });
    await until(async () => (await status(short.key)) === 401);
    for (const seconds of JUMPS) {
      clock.set(seconds);
      // Ids begin with the time of day: it is another for the server indeed.
      const upload = new FormData();
      upload.set('purpose', 'batch');
      upload.set('file', new Blob(['{}\n']), 'x.jsonl');
      const made = await fetch(`${gateway.url}/v1/files`, {
        ...{ method: 'POST', headers: { authorization: `Bearer ${lasting.key}` }, body: upload },
      });
      const { created_at } = (await made.json()) as { created_at: number };
      expect(Math.abs(created_at - Date.now() / 1000 - seconds)).toBeLessThan(60);
      // Read anew each time, too: what is remembered of a key is forgotten when anything of it changes.
      await admin('tenants', { id: `t${seconds}-${Math.random().toString(36).slice(2)}` });
      expect([seconds, await status(lasting.key), await status(short.key)]).toEqual([seconds, 200, 401]);
    }
    clock.set(HOUR_SECONDS);
    const late = await admin('keys', { tenant: 'acme', expires: inSeconds(3) });
    expect(await status(late.key)).toBe(200);
    clock.set(-HOUR_SECONDS);
    await until(async () => (await status(late.key)) === 401);
  }, 60_000);

  it('lets the earlier text of a key hold for as long as was said', async () => {
    for (const seconds of [HOUR_SECONDS, -HOUR_SECONDS]) {
      const first = await admin('keys', { tenant: 'acme' });
      const begun = performance.now();
      const second = await admin(`keys/${first.id}/rotate`, { overlap_seconds: 6 });
      clock.set(seconds);
      const answers = [await status(first.key), await status(second.key)];
      // On a machine that took all of the overlap for that, there is nothing to be seen.
      if (performance.now() - begun < 6000) expect(answers).toEqual([200, 200]);
      await until(async () => (await status(first.key)) === 401, 30);
      expect(performance.now() - begun).toBeGreaterThan(5_900);
      expect(await status(second.key)).toBe(200);
      // And what is rotated while the clock is wrong goes by the right time, too.
      const third = await admin(`keys/${first.id}/rotate`, { overlap_seconds: 2 * HOUR_SECONDS });
      clock.set(0);
      expect([await status(second.key), await status(third.key)]).toEqual([200, 200]);
    }
  }, 120_000);

  it('counts its minutes on', async () => {
    const { key } = await admin('keys', { tenant: 'acme', limits: { requests_per_minute: 2 } });
    const ask = async () => {
      const response = await fetch(`${gateway.url}/tokenize`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'Once' }),
      });
      await response.arrayBuffer();
      return [response.status, Number(response.headers.get('retry-after') ?? 0)] as const;
    };
    const begun = performance.now();
    expect([(await ask())[0], (await ask())[0]]).toEqual([200, 200]);
    for (const seconds of JUMPS) {
      clock.set(seconds);
      const [code, wait] = await ask();
      if (performance.now() - begun > 50_000) break;
      expect([seconds, code]).toEqual([seconds, 429]);
      expect(wait).toBeGreaterThan(0);
      expect(wait).toBeLessThanOrEqual(60);
    }
  }, 60_000);
});

it('a clock that stays wrong is believed after five minutes, and all that it ended is there when it is right again', async () => {
  const time = { wall: 1_800_000_000_000, steady: 0.5 };
  const pass = (milliseconds: number) => {
    time.wall += milliseconds;
    time.steady += milliseconds;
  };
  const clock = new SteadyClock(
    () => time.wall,
    () => time.steady,
  );
  const HOUR = HOUR_SECONDS * 1000;
  const gateway = await openApp({ clock });
  try {
    const admin = async (path: string, body: object) =>
      (await gateway.ask(OPERATOR_KEY, 'POST', `/admin/v1/${path}`, body)).json;
    const status = async (key: string) => (await gateway.ask(key, 'GET', '/v1/models')).status;
    /** A server looks at the clock all the time. */
    const stay = async () => {
      for (let minute = 0; minute <= 6; minute++) {
        clock.now();
        pass(60_000);
      }
    };
    await admin('tenants', { id: 'acme' });
    const key = await admin('keys', { tenant: 'acme', expires: time.wall / 1000 + HOUR_SECONDS });
    const first = await admin('keys', { tenant: 'acme' });
    const second = await admin(`keys/${first.id}/rotate`, { overlap_seconds: 0.75 * HOUR_SECONDS });
    time.wall += HOUR;
    expect([await status(key.key), await status(first.key)]).toEqual([200, 200]);
    await stay();
    expect([await status(key.key), await status(first.key), await status(second.key)]).toEqual([
      401, 401, 200,
    ]);
    // Another text meanwhile removes none that has an end to come.
    const third = await admin(`keys/${first.id}/rotate`, { overlap_seconds: 86_400 });
    time.wall -= HOUR;
    await stay();
    for (const each of [key, first, second, third]) expect(await status(each.key)).toBe(200);
    // What was ended at once is never there again, however far the clock is set back.
    const fourth = await admin(`keys/${first.id}/rotate`, { overlap_seconds: 0 });
    time.wall -= HOUR;
    await stay();
    for (const each of [first, second, third]) expect(await status(each.key)).toBe(401);
    expect(await status(fourth.key)).toBe(200);
  } finally {
    await gateway.close();
  }
});

describe.skipIf(!HAS_SHIFTED_CLOCKS || !HAS_REDIS)('servers that count in a Redis whose clock jumps', () => {
  const NEED = { tokens: 10, money: 0, isInteractive: true };
  const NOTHING = { tokens: 0, money: 0 };
  let clock: ShiftedClock;
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let look: Redis;
  let counters: RedisCounters[] = [];

  beforeEach(async () => {
    clock = await shiftedClock();
    redis = await startRedis(undefined, clock.env);
    look = new Redis(redis.url);
  });
  afterEach(async () => {
    look.disconnect();
    await Promise.all(counters.map((each) => each.close()));
    counters = [];
    await redis.stop();
    await clock.remove();
  });

  async function server(): Promise<RedisCounters> {
    const now = () => Date.now();
    const memory = new MemoryCounters({
      sums: async () => ({ day: NOTHING, month: NOTHING, total: NOTHING }),
      now,
    });
    const made = new RedisCounters({
      ...{ url: redis.url, prefix: 'test', memory, now, logger: createLogger('silent') },
    });
    counters.push(made);
    await made.ready();
    return made;
  }

  function scope(limits: Parameters<typeof limitsOf>[0]): Scope {
    return { subject: { kind: 'tenant', id: 'acme' }, limits: limitsOf(limits) };
  }

  /** Sets it, and has Redis see it. */
  async function jump(seconds: number): Promise<void> {
    clock.set(seconds);
    await until(async () => {
      const [now] = await look.time();
      return Math.abs(Number(now) - Date.now() / 1000 - seconds) < 60;
    });
  }

  async function hold(made: RedisCounters, scopes: readonly Scope[]): Promise<Hold> {
    const { hold: held, obstacle } = await made.reserve(scopes, NEED);
    if (held === null) throw new Error(`refused: ${JSON.stringify(obstacle)}`);
    return held;
  }

  it('let no more run at once than may, and lose nothing of what may', async () => {
    const scopes = [scope({ concurrent_requests: 3, budgets: { total: { tokens: 1000 } } })];
    const [a, b] = [await server(), await server()];
    const held = [await hold(a, scopes), await hold(a, scopes), await hold(b, scopes)];
    for (const seconds of JUMPS) {
      await jump(seconds);
      // At once: within a second a lease that ran out would be taken anew.
      for (const each of [a, b])
        expect((await each.reserve(scopes, NEED)).obstacle?.kind).toBe('concurrency');
    }
    const [first, second, third] = held;
    a.settle(first as Hold, NEED);
    await expect.poll(async () => (await b.reserve(scopes, NEED)).obstacle).toBeNull();
    a.settle(second as Hold, NEED);
    b.settle(third as Hold, NEED);
  }, 30_000);

  it('free what a server held that died, as soon as ever', async () => {
    const scopes = [scope({ concurrent_requests: 1 })];
    const [a, b] = [await server(), await server()];
    await hold(a, scopes);
    // Without a word more.
    await a.close();
    counters = [b];
    await jump(-HOUR_SECONDS);
    expect((await b.reserve(scopes, NEED)).obstacle?.kind).toBe('concurrency');
    const begun = performance.now();
    await until(async () => (await b.reserve(scopes, NEED)).obstacle === null, 40);
    // Its lease was of ten seconds, begun before; the jump took none of it.
    expect(performance.now() - begun).toBeGreaterThan(3_000);
  }, 60_000);

  it('keep no more than about two minutes of those without limits', async () => {
    const scopes = [scope({})];
    const a = await server();
    // As many seconds as it takes, and Redis believes no step beyond three of them.
    for (let second = 0; second < 400; second += 2) {
      clock.set(second);
      a.settle(await hold(a, scopes), NEED);
    }
    expect(await look.hlen('test:requests:tenant:acme')).toBeGreaterThan(20);
    expect(await look.hlen('test:requests:tenant:acme')).toBeLessThanOrEqual(121);
  }, 30_000);

  it('count their minutes on', async () => {
    const scopes = [scope({ requests_per_minute: 2 })];
    const a = await server();
    const begun = performance.now();
    const [held] = [await hold(a, scopes), await hold(a, scopes)];
    for (const seconds of JUMPS) {
      await jump(seconds);
      const { obstacle } = await a.reserve(scopes, NEED);
      if (performance.now() - begun > 40_000) return;
      expect([seconds, obstacle?.kind]).toEqual([seconds, 'requests']);
      expect(obstacle?.milliseconds).toBeGreaterThan(0);
      expect(obstacle?.milliseconds).toBeLessThanOrEqual(60_000);
    }
    // What never ran is taken from the second in which it was counted, whatever Redis' clock says now.
    a.settle(held as Hold, null);
    await expect.poll(async () => (await a.reserve(scopes, NEED)).obstacle).toBeNull();
    // And the minute ends: no jump has kept any of it.
    await sleep(Math.max(0, 50_000 - (performance.now() - begun)));
    await until(async () => (await a.reserve(scopes, NEED)).obstacle === null, 30);
  }, 120_000);
});
