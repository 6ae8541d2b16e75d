/** Limits and budgets of two gateways that share PostgreSQL and Redis. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, openDatabase } from '@polylora/adapters-store';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Access } from '../../gateway/src/access/access.ts';
import type { Reservation } from '../../gateway/src/admission/admission.ts';
import type { BackendModel } from '../../gateway/src/backends/backend.ts';
import { createLogger } from '../../gateway/src/logging.ts';
import type { LimitsBody } from '../../gateway/src/tenants/limits.ts';
import { withTenants } from '../../gateway/src/tenants/tables.ts';
import { openTenants, type TenantsHost } from '../../gateway/src/tenants/tenants-host.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from '../support/postgres.ts';
import { HAS_REDIS, startRedis } from '../support/redis.ts';

const programs = postgresPrograms();
const canRun = programs !== null && HAS_REDIS;
if (!canRun) console.warn('PostgreSQL or Redis is not installed: the tests of shared limits are skipped');

const BASE: BackendModel = {
  ...{ id: 'tiny', parent: null, root: 'x', created: 0, maxModelLen: 1000, vocabSize: 10 },
  ...{ mixture: null, fingerprint: 'fp', task: 'generate' },
};
const ASKED = { model: BASE, promptTokens: 5, completionTokens: 5, counting: null };
const USED = { promptTokens: 5, cachedPromptTokens: 0, completionTokens: 5 };
const TENANT = { name: null, blocked: false, models: ['*'], weight: 1, allowPriority: false, metadata: {} };
const KEY = {
  role: 'user',
  ...{ alias: null, blocked: false, models: ['*'], limits: {}, metadata: {}, expiresAt: null },
} as const;

describe.skipIf(!canRun)('two gateways with one Redis', () => {
  let postgres: PostgresServer;
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let databases: Database[] = [];
  let hosts: TenantsHost[] = [];
  let url = '';

  beforeAll(async () => {
    postgres = await startPostgres(programs!);
  });
  afterAll(() => postgres?.stop());
  beforeEach(async () => {
    redis = await startRedis();
    url = await postgres.url();
  });
  afterEach(async () => {
    await Promise.all(hosts.map((host) => host.close()));
    await Promise.all(databases.map((database) => database.destroy()));
    [hosts, databases] = [[], []];
    await redis.stop();
  });

  async function gateway(): Promise<TenantsHost> {
    const database = await openDatabase(url);
    databases.push(database);
    const host = await openTenants({
      ...{ database, secret: Buffer.alloc(32, 5), redis: redis.url, logger: createLogger('silent') },
    });
    hosts.push(host);
    return host;
  }

  /** A tenant with these limits, as both gateways see its key. */
  async function shared(
    limits: LimitsBody,
  ): Promise<{ a: TenantsHost; b: TenantsHost; of: (host: TenantsHost) => Access }> {
    const [a, b] = [await gateway(), await gateway()];
    await a.tenants.create('acme', { ...TENANT, limits }, 'o');
    const { text } = await a.keys.create('acme', KEY, 'o');
    const found = new Map<TenantsHost, Access>();
    for (const host of [a, b]) {
      const access = await host.registry.find(text, host.hasher.hash(text));
      if (access !== null) found.set(host, access);
    }
    return { a, b, of: (host) => found.get(host)! };
  }

  async function many(host: TenantsHost, access: Access, count: number): Promise<Reservation[]> {
    const results = await Promise.allSettled(
      Array.from({ length: count }, async () => host.admission.reserve(access, ASKED)),
    );
    return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  }

  it('never overshoot a budget together', async () => {
    const { a, b, of } = await shared({ budgets: { day: { tokens: 1_000 } } });
    const round = async () => (await Promise.all([many(a, of(a), 250), many(b, of(b), 250)])).flat();
    const first = await round();
    expect(first).toHaveLength(100);
    for (const each of first) each.settle({ ...USED, completionTokens: 0 });
    await sleep(200);
    const second = await round();
    expect(second).toHaveLength(50);
    for (const each of second) each.settle(null);
    await sleep(200);
    expect(await round()).toHaveLength(50);
  });

  it('share requests and tokens per minute, and what runs at once', async () => {
    const { a, b, of } = await shared({
      requests_per_minute: 20,
      tokens_per_minute: 150,
      concurrent_requests: 4,
    });
    const [ofA, ofB] = [await many(a, of(a), 3), await many(b, of(b), 3)];
    expect([ofA.length, ofB.length]).toEqual([3, 1]);
    expect(ofB[0]?.headers).toMatchObject({
      'x-ratelimit-limit-requests': '20',
      'x-ratelimit-remaining-requests': '16',
      'x-ratelimit-remaining-tokens': '110',
    });
    await expect(async () => b.admission.reserve(of(b), ASKED)).rejects.toMatchObject({
      code: 'concurrency_limit_exceeded',
    });
    for (const each of [...ofA, ...ofB]) each.settle({ ...USED, completionTokens: 3 });
    await sleep(200);
    let admitted = 4;
    for (let request = 0; request < 40; request++) {
      const host = request % 2 === 0 ? a : b;
      const [reservation] = await many(host, of(host), 1);
      reservation?.settle(USED);
      if (reservation !== undefined) admitted++;
      await sleep(5);
    }
    // 32 tokens were used by four, and ten by each of the others.
    expect(admitted).toBe(15);
    await expect(async () => a.admission.reserve(of(a), ASKED)).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      status: 429,
    });
  });

  it('have what a gateway held that is gone, once its lease has run out', async () => {
    const { a, b, of } = await shared({ budgets: { total: { tokens: 100 } }, concurrent_requests: 10 });
    expect(await many(a, of(a), 20)).toHaveLength(10);
    expect(await many(b, of(b), 1)).toHaveLength(0);
    // To Redis, as a crash: nothing is given back, and nobody says that it lives.
    await a.close();
    hosts = hosts.filter((host) => host !== a);
    expect(await many(b, of(b), 1)).toHaveLength(0);
    await expect
      .poll(async () => (await many(b, of(b), 1)).length, { timeout: 14_000, interval: 500 })
      .toBe(1);
  }, 30_000);

  it('go on by themselves while Redis is away, and nothing goes unmetered', async () => {
    const { a, b, of } = await shared({ budgets: { month: { tokens: 200 } }, requests_per_minute: 1_000 });
    for (const each of await many(a, of(a), 5)) each.settle(USED);
    await redis.stop();
    const began = performance.now();
    const alone = [...(await many(a, of(a), 3)), ...(await many(b, of(b), 2))];
    expect(alone).toHaveLength(5);
    expect(performance.now() - began).toBeLessThan(2_000);
    for (const each of alone) each.settle(USED);
    const spent = async () => {
      const rows = await withTenants(databases[0]!).selectFrom('spend').select('prompt_tokens').execute();
      return rows.reduce((sum, row) => sum + row.prompt_tokens, 0);
    };
    await expect.poll(spent, { timeout: 3_000 }).toBe(50);
    // Back, and empty: what was spent is read from the database.
    redis = await startRedis(redis.port);
    await sleep(4_500);
    const rest = (await Promise.all([many(a, of(a), 50), many(b, of(b), 50)])).flat();
    expect(rest).toHaveLength(10);
  }, 30_000);

  it('take a price, a limit and a grant that is changed at one within a second at the other', async () => {
    const { a, b, of } = await shared({});
    await a.prices.set({ model: 'base', input: 7, cachedInput: 7, output: 9 }, 'o');
    await expect.poll(() => b.prices.of(BASE).output, { timeout: 1_000 }).toBe(9);
    expect(await many(b, of(b), 3)).toHaveLength(3);
    await a.tenants.update(
      'acme',
      (tenant) => ({ ...tenant, limits: { requests_per_minute: 0 }, models: ['acme/x'] }),
      'o',
    );
    await expect
      .poll(async () => (await b.registry.stillValid(of(b).principal))?.principal.models, { timeout: 1_000 })
      .toEqual([['acme/x'], ['*']]);
  });
});
