/** What the engine tells of its pages and of its steps, on a real engine with adapters. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine, EngineStats, PageMap, PageOwner } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../gateway/src/backends/backend.ts';
import { Metrics } from '../../gateway/src/metrics/metrics.ts';
import { type Ask, addAdapter, ask, GREEDY, ONE_TENANT, startTinyEngine, tokens } from '../support/engine.ts';
import { writeRandomAdapter } from '../support/random-adapter.ts';

const PROMPT = Array.from({ length: 80 }, (_, index) => 10 + index);

let engine: Engine;
let folder = '';
let digest = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-pages-'));
  engine = await startTinyEngine('llama', { maxModelLen: 512 });
  await writeRandomAdapter(join(folder, 'a'), engine.model, { rank: 4, seed: 1 });
  digest = await addAdapter(engine, join(folder, 'a'));
});
afterAll(async () => {
  await engine.close();
  await rm(folder, { recursive: true, force: true });
});

interface Running {
  /** Ends it. */
  end(): Promise<void>;
}

/** Starts a request, and resolves once it has had its first token. */
async function begin(id: string, request: Ask): Promise<Running> {
  const leave = new AbortController();
  const events = engine.generate(
    {
      id,
      prompt: request.prompt,
      adapter: request.adapter ?? null,
      sampling: { ...GREEDY, maxTokens: 400, minTokens: 400, ...request.sampling },
      scheduling: { ...ONE_TENANT, ...request.scheduling },
    },
    leave.signal,
  );
  const reader = events[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await reader.next();
    if (done || value.type === 'error') throw new Error(`${id} did not begin: ${JSON.stringify(value)}`);
    if (value.type === 'delta') break;
  }
  return {
    async end() {
      leave.abort();
      while (!(await reader.next()).done);
    },
  };
}

/** Pages by kind, counted from the map. */
function counted({ owners, runs }: PageMap): Record<PageOwner['kind'], number> {
  const counts = { free: 0, kv: 0, prefix: 0, adapter: 0 };
  for (let at = 0; at < runs.length; at += 2) counts[owners[runs[at]!]!.kind] += runs[at + 1]!;
  return counts;
}

/** Pages of the owners that hold this. */
function pagesOf({ owners, runs }: PageMap, is: (owner: PageOwner) => boolean): number {
  let pages = 0;
  for (let at = 0; at < runs.length; at += 2) if (is(owners[runs[at]!]!)) pages += runs[at + 1]!;
  return pages;
}

function inStats({ pagesKv, pagesPrefix, pagesAdapter, pagesTotal }: EngineStats) {
  const free = pagesTotal - pagesKv - pagesPrefix - pagesAdapter;
  return { free, kv: pagesKv, prefix: pagesPrefix, adapter: pagesAdapter };
}

/** The map and the counts of one moment. */
async function look(): Promise<PageMap> {
  const [map, stats] = await Promise.all([engine.pageMap(), engine.stats()]);
  expect(counted(map)).toEqual(inStats(stats));
  const isInUse = (owner: PageOwner) => owner.kind === 'adapter' && (owner.pinned || owner.users > 0);
  expect(stats.pagesAdapterInUse).toBe(pagesOf(map, isInUse));
  expect(map.pagesTotal).toBe(stats.pagesTotal);
  return map;
}

/** What a request held is let go of when the step that was computed as it ended is over. */
async function atRest(of: Engine = engine): Promise<void> {
  await expect.poll(async () => (await of.stats()).tenants).toEqual([]);
}

describe('the page map', () => {
  it('says who has each page while requests run, and what stays when they have ended', async () => {
    expect(counted(await look())).toMatchObject({ kv: 0, prefix: 0, adapter: 0 });

    const acme = await begin('of-acme', {
      prompt: tokens(PROMPT),
      adapter: digest,
      scheduling: { tenant: 'acme' },
    });
    const base = await begin('of-base', {
      prompt: tokens(PROMPT.toReversed()),
      scheduling: { tenant: 'other' },
    });
    const during = await look();
    expect(during.pageBytes).toBeGreaterThan(0);
    const own = (request: string) => (owner: PageOwner) => owner.kind === 'kv' && owner.request === request;
    expect(pagesOf(during, own('of-acme'))).toBeGreaterThanOrEqual(PROMPT.length / 16);
    expect(pagesOf(during, own('of-base'))).toBeGreaterThanOrEqual(PROMPT.length / 16);
    expect(during.owners.filter(({ kind }) => kind !== 'free')).toEqual([
      { kind: 'kv', request: 'of-acme', tenant: 'acme', adapter: digest, users: 1 },
      { kind: 'kv', request: 'of-base', tenant: 'other', adapter: null, users: 1 },
      { kind: 'adapter', digest, pinned: false, users: 1 },
    ]);

    // The same beginning again: its full blocks are used together.
    const again = await begin('of-acme-again', {
      prompt: tokens(PROMPT),
      adapter: digest,
      scheduling: { tenant: 'acme' },
    });
    const shared = await look();
    const both = (owner: PageOwner) =>
      owner.kind === 'kv' && owner.request === 'of-acme' && owner.users === 2;
    expect(pagesOf(shared, both)).toBeGreaterThanOrEqual(4);
    expect(shared.owners).toContainEqual({ kind: 'adapter', digest, pinned: false, users: 2 });

    await Promise.all([acme.end(), base.end(), again.end()]);
    await atRest();
    const after = await look();
    expect(counted(after).kv).toBe(0);
    expect(after.owners).toContainEqual({ kind: 'prefix', tenant: 'acme', adapter: digest });
    expect(after.owners).toContainEqual({ kind: 'prefix', tenant: 'other', adapter: null });
    expect(after.owners).toContainEqual({ kind: 'adapter', digest, pinned: false, users: 0 });

    await engine.pinAdapter(digest, true);
    expect((await look()).owners).toContainEqual({ kind: 'adapter', digest, pinned: true, users: 0 });
    await engine.pinAdapter(digest, false);
    expect((await look()).owners).toContainEqual({ kind: 'adapter', digest, pinned: false, users: 0 });
  });

  it('says of blocks that everybody may find that they are nobody’s', async () => {
    const shared = await startTinyEngine('llama', { maxModelLen: 512, prefixCache: 'shared' });
    try {
      await ask(shared, { prompt: tokens(PROMPT), sampling: { maxTokens: 1 } });
      await atRest(shared);
      expect((await shared.pageMap()).owners).toEqual([
        { kind: 'free' },
        { kind: 'prefix', tenant: null, adapter: null },
      ]);
    } finally {
      await shared.close();
    }
  });
});

describe('the share of its pages that KV blocks have', () => {
  it('is all of them where adapters in use have the others, and requests wait', async () => {
    const { pagesTotal, pagesAdapter } = await engine.stats();
    // One request beside the adapter fills it.
    const small = await startTinyEngine('llama', {
      poolBytes: Math.floor((16 << 20) / pagesTotal) * (pagesAdapter + 10),
      maxModelLen: 160,
    });
    try {
      const adapter = await addAdapter(small, join(folder, 'a'));
      const metrics = new Metrics();
      const stats = async () => ({ ...(await small.stats()), restartsTotal: 0 });
      const backend = { ready: true, computers: [], stats } as unknown as Backend;
      const read = async () => {
        const text = await metrics.render(backend, 'text');
        const value = (series: string) => {
          const line = text.split('\n').find((each) => each.startsWith(series));
          return Number(line?.slice(line.lastIndexOf(' ') + 1));
        };
        return {
          usage: value('vllm:kv_cache_usage_perc'),
          waiting: value('vllm:num_requests_waiting'),
          kv: value('polylora_pool_pages{kind="kv"}'),
          inUse: value('polylora_pool_pages{kind="adapter"}'),
          idle: value('polylora_pool_pages{kind="idle_adapter"}'),
        };
      };
      const prompts = Array.from({ length: 6 }, (_, first) =>
        Array.from({ length: 150 }, (_, index) => 10 + ((first * 37 + index) % 200)),
      );
      let isOver = false;
      const answers = Promise.all(
        prompts.map((ids) => ask(small, { prompt: tokens(ids), adapter, sampling: { maxTokens: 10 } })),
      ).finally(() => {
        isOver = true;
      });
      const seen = [];
      while (!isOver) {
        seen.push(await read());
        await new Promise(setImmediate);
      }
      for (const { error } of await answers) expect(error).toBeNull();
      expect(seen).toContainEqual({ usage: 1, waiting: 5, kv: 10, inUse: pagesAdapter, idle: 0 });
      await atRest(small);
      expect(await read()).toEqual({ usage: 0, waiting: 0, kv: 0, inUse: 0, idle: pagesAdapter });
    } finally {
      await small.close();
    }
  });
});

describe('what is told of steps', () => {
  it('is all of their time by kernel, and how large they were', async () => {
    const before = await engine.stats();
    const other = { ...ONE_TENANT, tenant: 'another' };
    await Promise.all([
      ask(engine, { prompt: tokens(PROMPT.slice(0, 40)), adapter: digest, sampling: { maxTokens: 20 } }),
      ask(engine, { prompt: tokens(PROMPT.slice(3, 40)), sampling: { maxTokens: 20 }, scheduling: other }),
    ]);
    const after = await engine.stats();
    const { graph, ...operators } = after.stepSecondsByKernel;
    for (const [kernel, seconds] of Object.entries(operators))
      expect([kernel, seconds > before.stepSecondsByKernel[kernel as keyof typeof operators]]).toEqual([
        kernel,
        true,
      ]);
    const inOperators = Object.values(operators).reduce((sum, seconds) => sum + seconds, 0);
    expect(after.operatorSecondsTotal).toBeCloseTo(inOperators, 9);
    expect(inOperators).toBeLessThanOrEqual(after.stepSecondsTotal);
    expect(inOperators + graph).toBeCloseTo(after.stepSecondsTotal, 9);

    for (const distribution of [after.stepTokens, after.stepSequences, after.stepAdapters]) {
      expect(distribution.count).toBe(after.stepsTotal);
      const counts = distribution.buckets.map(({ count }) => count);
      expect(counts).toEqual(counts.toSorted((a, b) => a - b));
      expect(counts.at(-1)).toBe(distribution.count);
    }
    // Both prompts but what was found, and each token but the last ones, drafted ones besides.
    const computed = after.stepTokens.sum - before.stepTokens.sum;
    expect(computed).toBeGreaterThanOrEqual(40 + 37 - (after.prefixHitsTotal - before.prefixHitsTotal));
    expect(after.stepSequences.sum).toBeGreaterThan(before.stepSequences.sum);
    expect(after.stepAdapters.sum).toBeGreaterThan(before.stepAdapters.sum);
    expect(after.stepAdapters.sum).toBeLessThanOrEqual(after.stepsTotal);
  });

  it('counts once, also where scrapes are answered in another order', async () => {
    const stats = async () => ({ ...(await engine.stats()), restartsTotal: 0 });
    const older = await stats();
    await ask(engine, { prompt: tokens(PROMPT), sampling: { maxTokens: 5 } });
    const newer = await stats();
    expect(newer.stepsTotal).toBeGreaterThan(older.stepsTotal);
    const metrics = new Metrics();
    let answer = () => {};
    const late = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const answers = [late.then(() => older), Promise.resolve(newer)];
    const backend = {
      ...{ ready: true, computers: [] },
      stats: () => answers.shift(),
    } as unknown as Backend;
    const [first, second] = [metrics.render(backend, 'text'), metrics.render(backend, 'text')];
    const told = `\npolylora_steps_total ${newer.stepsTotal}\n`;
    expect(await second).toContain(told);
    answer();
    expect(await first).toContain(told);
  });

  it('is how long adapters took to be read, and how many could not be', async () => {
    const before = await engine.stats();
    expect(before.adapterLoads.count).toBe(before.adapterLoadsTotal);
    expect(before.adapterLoads.seconds).toBeGreaterThan(0);
    const directory = join(folder, 'broken');
    await writeRandomAdapter(directory, engine.model, { rank: 2, seed: 2 });
    const broken = await addAdapter(engine, directory);
    await writeFile(join(directory, 'adapter_model.safetensors'), 'not what it was');
    const { error } = await ask(engine, { prompt: tokens([1, 2, 3]), adapter: broken });
    expect(error?.code).toBe('adapter_load_failed');
    const after = await engine.stats();
    expect(after.adapterLoadFailuresTotal).toBe(before.adapterLoadFailuresTotal + 1);
    expect(after.adapterLoads.count).toBe(before.adapterLoads.count);
  });

  it('is what each tenant was charged, as its tokens are computed and until long after', async () => {
    const serviceOf = async (tenant: string) => (await engine.stats()).service.byTenant.get(tenant);
    const request = {
      prompt: tokens(PROMPT.slice(0, 40)),
      sampling: { maxTokens: 20, minTokens: 20 },
      scheduling: { tenant: 'charged', weight: 4 },
    };
    const { service: before } = await engine.stats();
    await ask(engine, request);
    // The last token is not computed.
    expect(await serviceOf('charged')).toBe(40 + 2 * 19);
    // Two blocks are found.
    await ask(engine, request);
    expect(await serviceOf('charged')).toBe(40 + 2 * 19 + 8 + 2 * 19);
    const running = await begin('runs', {
      prompt: tokens(PROMPT.slice(0, 7)),
      scheduling: { tenant: 'starts' },
    });
    expect(await serviceOf('starts')).toBeGreaterThanOrEqual(7);
    await running.end();
    await atRest();
    const { service: after } = await engine.stats();
    const sum = (map: ReadonlyMap<string, number>) => [...map.values()].reduce((all, each) => all + each, 0);
    expect(after.total - before.total).toBe(sum(after.byTenant) - sum(before.byTenant));
  });

  it('is what it computes with', async () => {
    const { threads, simd } = await engine.stats();
    expect(threads).toBe(2);
    expect(simd).toMatch(/^[a-z0-9-]+$/);
  });
});
