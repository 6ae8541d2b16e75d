/** What gateways hold in Redis, through its absences and the database's. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Answer, Hold, Scope } from '../../gateway/src/admission/counters.ts';
import { MemoryCounters } from '../../gateway/src/admission/memory-counters.ts';
import { RedisCounters } from '../../gateway/src/admission/redis-counters.ts';
import type { Subject, Sums } from '../../gateway/src/admission/spend-log.ts';
import { createLogger } from '../../gateway/src/logging.ts';
import { limitsOf } from '../../gateway/src/tenants/limits.ts';
import { HAS_REDIS, startRedis } from '../support/redis.ts';

if (!HAS_REDIS) console.warn('Redis is not installed: the tests of what it counts are skipped');

const NOTHING = { tokens: 0, money: 0 };
const UNSPENT: Sums = { day: NOTHING, month: NOTHING, total: NOTHING };
const NEED = { tokens: 10, money: 0, isInteractive: true };
/** Longer than an answer of Redis is waited for, shorter than it takes to come back. */
const PAUSED_MILLISECONDS = 1_400;

function scope(id: string, limits: Parameters<typeof limitsOf>[0]): Scope {
  return { subject: { kind: 'tenant', id }, limits: limitsOf(limits) };
}

describe.skipIf(!HAS_REDIS)('counters in Redis', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let admin: Redis;
  let counters: RedisCounters[] = [];

  beforeEach(async () => {
    redis = await startRedis();
    admin = new Redis(redis.url, { retryStrategy: () => 100 });
    admin.on('error', () => {});
  });
  afterEach(async () => {
    admin.disconnect();
    await Promise.all(counters.map((each) => each.close()));
    counters = [];
    await redis.stop();
  });

  async function gateway(sums: (subject: Subject) => Promise<Sums> = async () => UNSPENT) {
    const now = () => Date.now();
    const memory = new MemoryCounters({ sums, now });
    const made = new RedisCounters({
      ...{ url: redis.url, prefix: 'test', memory, now, logger: createLogger('silent') },
    });
    counters.push(made);
    await made.ready();
    return made;
  }

  /** Holds of as many requests as are let in. */
  async function holds(made: RedisCounters, scopes: readonly Scope[], count: number): Promise<Hold[]> {
    const answers = await Promise.all(Array.from({ length: count }, () => made.reserve(scopes, NEED)));
    return answers.flatMap(({ hold }: Answer) => hold ?? []);
  }

  /** How many more are let in, which then are as if they had never been. */
  async function roomAt(made: RedisCounters, scopes: readonly Scope[], most: number): Promise<number> {
    const held = await holds(made, scopes, most);
    for (const each of held) made.settle(each, null);
    return held.length;
  }

  async function untilBack(): Promise<void> {
    await expect
      .poll(() => admin.keys('test:alive:*').catch(() => []), { timeout: 8_000 })
      .toHaveLength(counters.length);
  }

  it('free what was held while it was away, once that ends', async () => {
    const scopes = [scope('acme', { concurrent_requests: 4, budgets: { total: { tokens: 40 } } })];
    const [a, b] = [await gateway(), await gateway()];
    await redis.stop();
    const alone = await holds(a, scopes, 3);
    expect(alone).toHaveLength(3);
    redis = await startRedis(redis.port);
    await untilBack();
    expect(await roomAt(b, scopes, 4)).toBe(1);
    for (const each of alone) a.settle(each, null);
    await expect.poll(() => roomAt(b, scopes, 5)).toBe(4);
  }, 20_000);

  it('count what was held and settled around an absence neither twice nor not at all', async () => {
    const scopes = [scope('acme', { concurrent_requests: 20 })];
    const [a, b] = [await gateway(), await gateway()];
    const early = await holds(a, scopes, 4);
    await admin.client('PAUSE', PAUSED_MILLISECONDS, 'ALL');
    // The first is waited for in vain; those after it are answered by a Redis that is back, or was never asked.
    const late = holds(a, scopes, 1);
    await sleep(600);
    const later = holds(a, scopes, 5);
    await sleep(150);
    for (const each of early.splice(0, 2)) a.settle(each, null);
    const held = [...early, ...(await late), ...(await later)];
    expect(held).toHaveLength(8);
    await expect.poll(() => roomAt(b, scopes, 30), { timeout: 5_000 }).toBe(12);
    // Nor later, when nothing is told anew.
    await sleep(1_500);
    expect(await roomAt(b, scopes, 30)).toBe(12);
    for (const each of held) a.settle(each, null);
    await expect.poll(() => roomAt(b, scopes, 30)).toBe(20);
  }, 20_000);

  it('state anew what they hold where Redis has forgotten it', async () => {
    const scopes = [scope('acme', { concurrent_requests: 4 })];
    const [a, b] = [await gateway(), await gateway()];
    const held = await holds(a, scopes, 3);
    await admin.flushall();
    await expect.poll(() => roomAt(b, scopes, 4), { timeout: 4_000 }).toBe(1);
    for (const each of held) a.settle(each, null);
    await expect.poll(() => roomAt(b, scopes, 5)).toBe(4);
  }, 20_000);

  it('tell of a budget that is spent before one that only is held', async () => {
    const held = scope('held', { budgets: { day: { tokens: 20 } } });
    const spent = scope('spent', { budgets: { day: { tokens: 25 } } });
    const [a, b] = [await gateway(), await gateway()];
    for (const each of await holds(a, [spent], 2)) a.settle(each, NEED);
    expect(await holds(b, [held], 2)).toHaveLength(2);
    expect((await a.reserve([held], NEED)).obstacle).toMatchObject({ spent: 0, held: 20 });
    expect((await a.reserve([held, spent], NEED)).obstacle).toMatchObject({
      spent: 20,
      held: 0,
      scope: spent,
    });
  });

  it('bring what was spent while it was away', async () => {
    const scopes = [scope('acme', { budgets: { total: { tokens: 100 } } })];
    const a = await gateway();
    for (const each of await holds(a, scopes, 2)) a.settle(each, NEED);
    await redis.stop();
    for (const each of await holds(a, scopes, 3)) a.settle(each, NEED);
    redis = await startRedis(redis.port);
    await untilBack();
    // As of this gateway, which the database is behind.
    expect(await roomAt(a, scopes, 10)).toBe(5);
    expect(await roomAt(await gateway(), scopes, 10)).toBe(5);
  }, 20_000);

  it('go on in Redis while the database is away', async () => {
    let isThere = true;
    const sums = async ({ id }: Subject): Promise<Sums> => {
      if (!isThere) throw new Error(`the database is away, and ${id} is not known`);
      return UNSPENT;
    };
    const known = [scope('known', { budgets: { total: { tokens: 100 } } })];
    const limited = [scope('limited', { concurrent_requests: 4 })];
    const [a, b] = [await gateway(sums), await gateway(sums)];
    expect(await roomAt(a, known, 1)).toBe(1);
    isThere = false;
    const unknown = [scope('unknown', { budgets: { total: { tokens: 100 } } })];
    await expect(a.reserve(unknown, NEED)).rejects.toThrow('the database is away');
    expect(await holds(a, limited, 3)).toHaveLength(3);
    expect(await roomAt(b, limited, 4)).toBe(1);
    // What Redis has lost meanwhile, it is told from memory.
    await admin.del(await admin.keys('test:spent:*'));
    expect(await holds(a, known, 7)).toHaveLength(7);
    expect(await roomAt(a, known, 10)).toBe(3);
  });
});
