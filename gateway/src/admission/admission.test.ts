/** Limits and budgets, against a real database. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Database, openDatabase } from '@polylora/adapters-store';
import type { Prompt } from '@polylora/engine';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Access } from '../access/access.ts';
import type { BackendModel, BackendRequest } from '../backends/backend.ts';
import type { ApiError } from '../errors.ts';
import { createLogger } from '../logging.ts';
import { type LimitsBody, limitsOf } from '../tenants/limits.ts';
import { withTenants } from '../tenants/tables.ts';
import { openTenants, type TenantsHost } from '../tenants/tenants-host.ts';
import { Admission, type Reservation } from './admission.ts';
import { type Asked, askedOf, type Used } from './asked.ts';
import { MemoryCounters } from './memory-counters.ts';
import { SpendLog } from './spend-log.ts';

const BASE: BackendModel = {
  id: 'tiny',
  parent: null,
  root: 'x',
  created: 0,
  maxModelLen: 1000,
  vocabSize: 10,
  mixture: null,
  fingerprint: 'fp',
  task: 'generate',
};
const SECRET = Buffer.alloc(32, 3);
const EMPTY = { name: null, blocked: false, models: ['*'], weight: 1, allowPriority: false, metadata: {} };
const KEY = {
  role: 'user',
  alias: null,
  blocked: false,
  models: ['*'],
  metadata: {},
  expiresAt: null,
} as const;

let folder: string;
let database: Database;
let host: TenantsHost;
let further: SpendLog[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-admission-'));
  database = await openDatabase(join(folder, 'metadata.db'));
  host = await openTenants({ database, secret: SECRET, logger: createLogger('silent') });
});
afterEach(async () => {
  await host.close();
  await Promise.all(further.map((spend) => spend.close()));
  further = [];
  await database.destroy();
  await rm(folder, { recursive: true });
});

async function accessWith(tenant: LimitsBody, key: LimitsBody = {}): Promise<Access> {
  await host.tenants.create('acme', { ...EMPTY, limits: tenant }, 'o');
  const { text } = await host.keys.create('acme', { ...KEY, limits: key }, 'o');
  const access = await host.registry.find(text, host.hasher.hash(text));
  if (access === null) throw new Error('the key is not found');
  return access;
}

function asked(promptTokens: number, completionTokens: number, model = BASE): Asked {
  return { model, promptTokens, completionTokens, counting: null };
}

function used(promptTokens: number, completionTokens: number): Used {
  return { promptTokens, cachedPromptTokens: 0, completionTokens };
}

/** The code of the refusal, or the reservation. */
async function trying(work: () => Reservation | Promise<Reservation>): Promise<Reservation | ApiError> {
  try {
    return await work();
  } catch (error) {
    return error as ApiError;
  }
}

function isRefused(result: Reservation | ApiError): result is ApiError {
  return result instanceof Error;
}

/** Another admission with clocks of its own. */
function admissionAt(time: { wall: number; steady: number }): Admission {
  const now = () => time.wall;
  const counters: MemoryCounters = new MemoryCounters({
    sums: (subject) => spend.sumsWithAll(subject),
    now,
    steady: () => time.steady,
  });
  const spend: SpendLog = new SpendLog(withTenants(database), counters, now, createLogger('silent'));
  further.push(spend);
  return new Admission({ counters, spend, prices: host.prices, now });
}

describe('a budget', () => {
  it('is known to be spent elsewhere, however many others there are', async () => {
    const own: Access = await accessWith({ budgets: { day: { tokens: 100 } } });
    const accesses = Array.from({ length: 250 }, (_, index): Access => {
      const tenant = { ...own.tenant!, id: `tenant-${index}` };
      return { ...own, principal: { tenant: tenant.id, key: null }, tenant, key: null };
    });
    for (const access of accesses) (await host.admission.reserve(access, asked(1, 1))).settle(null);
    const elsewhere = admissionAt({ wall: Date.now(), steady: performance.now() });
    const last = accesses.at(-1)!;
    (await elsewhere.reserve(last, asked(50, 50))).settle(used(50, 50));
    const wait = { timeout: 20_000, interval: 200 };
    await expect
      .poll(async () => {
        const result = await trying(() => host.admission.reserve(last, asked(1, 0)));
        if (isRefused(result)) return result.code;
        result.settle(null);
        return null;
      }, wait)
      .toBe('insufficient_quota');
  }, 30_000);

  it('is never overshot by five hundred at once, and has room again for what was not used', async () => {
    const access = await accessWith({ budgets: { day: { tokens: 1_000 } } });
    const reserve = () => host.admission.reserve(access, asked(5, 5));
    const first = await Promise.all(Array.from({ length: 500 }, () => trying(reserve)));
    const admitted = first.filter((each): each is Reservation => !isRefused(each));
    expect(admitted).toHaveLength(100);
    for (const refusal of first.filter(isRefused)) {
      expect(refusal).toMatchObject({ code: 'budget_held', status: 429 });
      expect(refusal.headers()).toMatchObject({ 'x-should-retry': 'true', 'retry-after': '1' });
    }
    for (const each of admitted) {
      each.settle(used(2, 3));
      // Whatever ends a request ends it once.
      each.settle(used(5, 5));
      each.settle(null);
    }
    const second = await Promise.all(Array.from({ length: 500 }, () => trying(reserve)));
    expect(second.filter((each) => !isRefused(each))).toHaveLength(50);
    for (const each of second) if (!isRefused(each)) each.settle(null);
    const third = await Promise.all(Array.from({ length: 500 }, () => trying(reserve)));
    expect(third.filter((each) => !isRefused(each))).toHaveLength(50);
  });

  it('is told to be spent where no end of what runs would help, before one that only is held', async () => {
    const access = await accessWith(
      { budgets: { day: { tokens: 100 } } },
      { budgets: { month: { tokens: 50 } } },
    );
    (await host.admission.reserve(access, asked(10, 0))).settle(used(10, 0));
    const running = await host.admission.reserve(access, asked(10, 20));
    const codeOf = async (tokens: number) => {
      const result = await trying(() => host.admission.reserve(access, asked(tokens, 0)));
      if (isRefused(result)) return result.code;
      result.settle(null);
      return null;
    };
    // The key has 40 left, 30 of them held.
    expect(await codeOf(11)).toBe('budget_held');
    expect(await codeOf(41)).toBe('insufficient_quota');
    const ofTenant = await host.admission.reserve({ ...access, key: null }, asked(50, 0));
    // The tenant's has room for it but for what is held, the key's has none.
    expect(await codeOf(41)).toBe('insufficient_quota');
    ofTenant.settle(null);
    running.settle(used(10, 20));
    expect(await codeOf(11)).toBe('insufficient_quota');
    expect(await codeOf(10)).toBeNull();
  });

  it('counts what is in the database, also what another gateway wrote', async () => {
    const access = await accessWith({}, { budgets: { month: { tokens: 100 } } });
    (await host.admission.reserve(access, asked(30, 30))).settle(used(30, 30));
    const time = { wall: Date.now(), steady: 0 };
    await host.spend.sumsWithAll({ kind: 'tenant', id: 'acme' });
    const other = admissionAt(time);
    const refused = await trying(() => other.reserve(access, asked(21, 20)));
    expect(refused).toMatchObject({ code: 'insufficient_quota' });
    const fits = await trying(() => other.reserve(access, asked(20, 20)));
    expect(isRefused(fits)).toBe(false);
    if (!isRefused(fits)) fits.settle(used(20, 20));
    // Two seconds later the first knows of it.
    await expect
      .poll(async () => isRefused(await trying(() => host.admission.reserve(access, asked(1, 0)))), {
        timeout: 10_000,
        interval: 500,
      })
      .toBe(true);
  });

  it('that never begins anew says no time to come back, and one that does when', async () => {
    const access = await accessWith(
      { budgets: { total: { tokens: 5 } } },
      { budgets: { day: { tokens: 9 } } },
    );
    const refused = async (of: Access) => {
      const result = await trying(() => host.admission.reserve(of, asked(5, 5)));
      return isRefused(result) ? [result.code, result.headers()] : null;
    };
    expect(await refused(access)).toEqual(['insufficient_quota', { 'x-should-retry': 'false' }]);
    expect(await refused({ ...access, tenant: null })).toEqual([
      'insufficient_quota',
      expect.objectContaining({ 'retry-after': expect.stringMatching(/^\d+$/), 'x-should-retry': 'false' }),
    ]);
  });

  it('of money that a model without a price never binds is told of, once for each model', async () => {
    const access = await accessWith(
      { budgets: { month: { money: 50 } } },
      { budgets: { day: { tokens: 9_000 } } },
    );
    const unpriced: string[] = [];
    const now = () => Date.now();
    const counters: MemoryCounters = new MemoryCounters({
      sums: (subject) => spend.sumsWithAll(subject),
      now,
    });
    const spend: SpendLog = new SpendLog(withTenants(database), counters, now, createLogger('silent'));
    further.push(spend);
    const onUnpriced = (model: string) => unpriced.push(model);
    const admission = new Admission({ ...{ counters, spend, prices: host.prices, now }, onUnpriced });
    const ask = async (model: typeof BASE, of = access) =>
      (await admission.reserve(of, asked(1, 1, model))).settle(null);
    const adapter = { ...BASE, id: 'acme/sql@v2', parent: 'tiny' };
    // Without a budget of money nothing is missing.
    await ask(BASE, { ...access, tenant: null });
    expect(unpriced).toEqual([]);
    for (const model of [BASE, BASE, adapter, { ...adapter, id: 'acme/sql@v3' }]) await ask(model);
    expect(unpriced).toEqual(['tiny', 'acme/sql']);
    // What somebody has said to be free is.
    host.prices.configure({ 'acme/*': { input: 0, output: 0 } });
    await ask({ ...adapter, id: 'acme/other@v1' });
    expect(unpriced).toEqual(['tiny', 'acme/sql']);
  });

  it('of money is spent at the prices of its models', async () => {
    const access = await accessWith({ budgets: { total: { money: 0.01 } } });
    await host.prices.set({ model: 'base', input: 1_000, cachedInput: 100, output: 2_000 }, 'o');
    await host.prices.set({ model: 'acme/*', input: 10_000, cachedInput: 10_000, output: 10_000 }, 'o');
    await expect.poll(() => host.prices.of(BASE).output).toBe(2_000);
    // 0.01 is ten million billionths: 1000 · 1000 + 4500 · 2000.
    const most = await trying(() => host.admission.reserve(access, asked(1_000, 4_501)));
    expect(most).toMatchObject({ code: 'insufficient_quota' });
    const fits = await host.admission.reserve(access, asked(1_000, 4_500));
    fits.settle({ promptTokens: 1_000, cachedPromptTokens: 500, completionTokens: 100 });
    const adapter = { ...BASE, id: 'acme/support@v2', parent: 'tiny' };
    (await host.admission.reserve(access, asked(10, 10, adapter))).settle(used(10, 10));
    await host.spend.sumsWithAll({ kind: 'tenant', id: 'acme' });
    const rows = await withTenants(database).selectFrom('spend').selectAll().orderBy('model').execute();
    expect(rows).toMatchObject([
      { model: 'acme/support', requests: 1, money: 200_000 },
      {
        model: 'tiny',
        prompt_tokens: 1_000,
        cached_tokens: 500,
        money: 500 * 1_000 + 500 * 100 + 100 * 2_000,
      },
    ]);
  });

  it('is told by how much of it is spent, of all tenants that have one', async () => {
    const own = await accessWith({ budgets: { day: { tokens: 100 }, month: { tokens: 1_000 } } });
    const accesses = ['a', 'b', 'c'].map((id): Access => {
      const tenant = { ...own.tenant!, id };
      const limits = id === 'c' ? { ...tenant.limits, budgets: [] } : tenant.limits;
      return { ...own, principal: { tenant: id, key: null }, tenant: { ...tenant, limits }, key: null };
    });
    const admission = admissionAt({ wall: Date.now(), steady: 0 });
    for (const [index, access] of accesses.entries())
      (await admission.reserve(access, asked(10, 20))).settle(used(10, index * 20));
    expect([...admission.budgetShares()]).toEqual([
      ['a', 0.1],
      ['b', 0.3],
    ]);
  });

  it('begins anew with its day, and not because the clock of what is counted by the minute goes on', async () => {
    const access = await accessWith({ budgets: { day: { tokens: 10 } } });
    const time = { wall: Date.UTC(2026, 10, 22, 12), steady: 0 };
    const admission = admissionAt(time);
    (await admission.reserve(access, asked(5, 5))).settle(used(5, 5));
    time.steady += 3_600_000;
    expect(await trying(() => admission.reserve(access, asked(1, 0)))).toMatchObject({
      code: 'insufficient_quota',
    });
    time.wall = Date.UTC(2026, 10, 23, 0);
    expect(isRefused(await trying(() => admission.reserve(access, asked(5, 5))))).toBe(false);
  });
});

describe('limits per minute', () => {
  it('hold for the tenant and the key, are told in headers, and pass with a steady clock only', async () => {
    const access = await accessWith({ tokens_per_minute: 100 }, { requests_per_minute: 2 });
    const time = { wall: Date.now(), steady: 1_000_000 };
    const admission = admissionAt(time);
    const first = await admission.reserve(access, asked(10, 40));
    expect(first.headers).toEqual({
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '1',
      'x-ratelimit-reset-requests': '1m0s',
      'x-ratelimit-limit-tokens': '100',
      'x-ratelimit-remaining-tokens': '50',
      'x-ratelimit-reset-tokens': '1m0s',
    });
    first.settle(used(10, 10));
    time.steady += 10_000;
    (await admission.reserve(access, asked(10, 40))).settle(used(10, 40));
    // The wall clock's jumps are none of a minute's business.
    time.wall += 3_600_000;
    const refused = (await trying(() => admission.reserve(access, asked(1, 1)))) as ApiError;
    expect(refused).toMatchObject({ code: 'rate_limit_exceeded', status: 429 });
    expect(refused.message).toContain('your key on requests per minute: limit 2, used 2');
    expect(refused.headers()).toMatchObject({
      'retry-after': '50',
      'retry-after-ms': '50000',
      'x-should-retry': 'true',
      'x-ratelimit-remaining-requests': '0',
    });
    time.steady += 50_000;
    expect(isRefused(await trying(() => admission.reserve(access, asked(1, 1))))).toBe(false);
  });

  it('count no request that was not begun', async () => {
    const access = await accessWith({ requests_per_minute: 1 });
    (await host.admission.reserve(access, asked(1, 1))).settle(null);
    (await host.admission.reserve(access, asked(1, 1))).settle(used(1, 1));
    expect(await trying(() => host.admission.reserve(access, asked(1, 1)))).toBeInstanceOf(Error);
    // Nor what nobody waits for.
    expect(isRefused(await trying(() => host.admission.reserve(access, asked(1, 1), false)))).toBe(false);
  });
});

describe('other limits', () => {
  it('refuse what runs beside too much, until that has ended', async () => {
    const access = await accessWith({ concurrent_requests: 2 });
    const running = [
      await host.admission.reserve(access, asked(1, 1)),
      await host.admission.reserve(access, asked(1, 1)),
    ];
    const refused = await trying(() => host.admission.reserve(access, asked(1, 1)));
    expect(refused).toMatchObject({ code: 'concurrency_limit_exceeded' });
    running[0]?.settle(used(1, 1));
    expect(isRefused(await trying(() => host.admission.reserve(access, asked(1, 1))))).toBe(false);
  });

  it('say whether more may be used than is held', async () => {
    const holds = async (limits: LimitsBody) => {
      const { tenant, ...access } = await found;
      const reserved = host.admission.reserve(
        { ...access, tenant: { ...tenant!, limits: limitsOf(limits) } },
        asked(1, 1),
      );
      return (await reserved).holdsTokens;
    };
    const found = accessWith({});
    expect(await holds({})).toBe(false);
    expect(await holds({ requests_per_minute: 9, concurrent_requests: 9 })).toBe(false);
    expect(await holds({ tokens_per_request: 9 })).toBe(true);
    expect(await holds({ tokens_per_minute: 9 })).toBe(true);
    expect(await holds({ budgets: { day: { money: 9 } } })).toBe(true);
  });

  it('refuse what is too large at once', async () => {
    const access = await accessWith({ tokens_per_request: 50 }, { tokens_per_minute: 40 });
    for (const tokens of [51, 41]) {
      const refused = await trying(() => host.admission.reserve(access, asked(1, tokens - 1)));
      expect(refused).toMatchObject({ code: 'request_exceeds_limit', status: 400 });
    }
  });
});

describe('a prompt whose bytes alone would refuse it for good', () => {
  /** Of 64 bytes, which are so many tokens. */
  function counted(tokens: number): { asked: Asked; counts: () => number } {
    let counts = 0;
    const prompt: Prompt = { kind: 'text', text: 'x'.repeat(64 - 16) };
    const request = { prompt, sampling: { maxTokens: 10 } } as BackendRequest;
    const counter = async () => {
      counts += 1;
      return tokens;
    };
    return { asked: askedOf(BASE, [request], counter), counts: () => counts };
  }

  it.each<[string, LimitsBody]>([
    ['a request', { tokens_per_request: 40 }],
    ['a minute', { tokens_per_minute: 40 }],
    ['a budget', { budgets: { total: { tokens: 40 } } }],
    ['money', { budgets: { day: { money: 40e-9 } } }],
  ])('is counted by its tokens: of %s', async (_, limits) => {
    await host.prices.set({ model: 'base', input: 1, cachedInput: 1, output: 1 }, 'o');
    await expect.poll(() => host.prices.of(BASE).output).toBe(1);
    const access = await accessWith(limits);
    const [small, large] = [counted(20), counted(31)];
    (await host.admission.reserve(access, small.asked)).settle(null);
    expect(small.counts()).toBe(1);
    expect(isRefused(await trying(() => host.admission.reserve(access, large.asked)))).toBe(true);
  });

  it('is a request, also where it is refused then: no more are counted than may be asked', async () => {
    const limits = { tokens_per_request: 30, requests_per_minute: 3, concurrent_requests: 1 };
    const access = await accessWith(limits);
    const reserve = async (tokens: number) => {
      const { asked: wanted, counts } = counted(tokens);
      const result = await trying(() => host.admission.reserve(access, wanted));
      if (!isRefused(result)) result.settle(used(1, 1));
      return [isRefused(result) ? result.code : null, counts()];
    };
    expect(await reserve(31)).toEqual(['request_exceeds_limit', 1]);
    expect(await reserve(20)).toEqual([null, 1]);
    expect(await reserve(31)).toEqual(['request_exceeds_limit', 1]);
    expect(await reserve(20)).toEqual(['rate_limit_exceeded', 0]);
  });

  it('is not where its bytes fit, where they will, or where nothing would', async () => {
    const { tenant, ...access } = await accessWith({});
    let tenants = 0;
    const counts = async (limits: LimitsBody, spent = 0) => {
      const { asked: wanted, counts: made } = counted(20);
      const limited = { ...tenant!, id: `tenant-${tenants++}`, limits: limitsOf(limits) };
      const own: Access = { ...access, tenant: limited };
      if (spent > 0) (await host.admission.reserve(own, asked(spent, 0))).settle(used(spent, 0));
      await trying(() => host.admission.reserve(own, wanted));
      return made();
    };
    expect(await counts({ tokens_per_request: 74 })).toBe(0);
    expect(await counts({ tokens_per_minute: 80 }, 10)).toBe(0);
    expect(await counts({ tokens_per_request: 13 })).toBe(0);
    expect(await counts({ budgets: { total: { tokens: 80 } } }, 70)).toBe(0);
    expect(await counts({ budgets: { total: { tokens: 80 } } }, 60)).toBe(1);
  });
});

describe('what was used', () => {
  it('is in the database within a second, by tenant, key, model and day', async () => {
    const access = await accessWith({});
    (await host.admission.reserve(access, asked(9, 9))).settle(used(3, 4));
    (await host.admission.reserve(access, asked(9, 9))).settle(used(1, 1));
    await expect
      .poll(() => withTenants(database).selectFrom('spend').selectAll().execute(), { timeout: 1_000 })
      .toMatchObject([
        {
          tenant: 'acme',
          key: access.principal.key,
          model: 'tiny',
          requests: 2,
          prompt_tokens: 4,
          completion_tokens: 5,
        },
      ]);
  });
});
