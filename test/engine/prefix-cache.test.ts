/** Beginnings that were computed before: found by those who may, with the same bits, and by nobody else. */
import { join } from 'node:path';
import type { Engine, SchedulingParams } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ask, addAdapter, ask, FIXTURES, startTinyEngine, tokens } from '../support/engine.ts';
import { expectSameBits } from '../support/same-bits.ts';

const MODEL = 'llama-tied';
const ADAPTER = join(FIXTURES, 'models', MODEL, 'adapter');

let next = 0;
/** Token ids that no other test uses. */
function fresh(length: number): number[] {
  next++;
  return Array.from({ length }, (_, index) => 5 + ((index * 31 + next * 97) % 200));
}

function request(ids: readonly number[], scheduling: Partial<SchedulingParams> = {}, adapter?: string): Ask {
  return {
    prompt: tokens(ids),
    adapter: adapter ?? null,
    sampling: { maxTokens: 6, ignoreEos: true, logprobs: 2 },
    scheduling,
  };
}

describe('the prefix cache', () => {
  let engine: Engine;
  let without: Engine;
  beforeAll(async () => {
    engine = await startTinyEngine(MODEL);
    without = await startTinyEngine(MODEL, { prefixCache: 'off' });
  });
  afterAll(async () => {
    await engine.close();
    await without.close();
  });

  const cached = async (asked: Ask, by: Engine = engine) =>
    (await ask(by, asked)).finish?.usage.cachedPromptTokens;

  it('finds whole blocks, and changes no bit', async () => {
    const shared = fresh(70);
    expect(await cached(request([...shared, 1, 2, 3]))).toBe(0);
    const other = request([...shared, 9, 8, 7, 6]);
    const answer = await ask(engine, other);
    expect(answer.finish?.usage).toMatchObject({ promptTokens: 74, cachedPromptTokens: 64 });
    expectSameBits(answer, await ask(without, other), 'after a hit');
    expect(await cached(other, without)).toBe(0);
  });

  it('finds a conversation’s earlier answers', async () => {
    const prompt = fresh(40);
    const first = await ask(engine, { ...request(prompt), sampling: { maxTokens: 30, ignoreEos: true } });
    const turn = request([...prompt, ...first.ids, 7, 7, 7]);
    const answer = await ask(engine, turn);
    // 70 tokens of which the last is never computed by the first request.
    expect(answer.finish?.usage.cachedPromptTokens).toBe(64);
    expectSameBits(answer, await ask(without, turn), 'second turn');
  });

  it('is the same for prompts that come at once as for prompts one after the other', async () => {
    const shared = fresh(100);
    const asks = Array.from({ length: 12 }, (_, index) => request([...shared, 20 + index, 30]));
    const together = await Promise.all(asks.map((one) => ask(engine, one)));
    for (const [index, one] of asks.entries()) {
      expectSameBits(together[index]!, await ask(without, one), `request ${index}`);
    }
  });

  it('is never found by another tenant, with another salt, or with another adapter', async () => {
    const prompt = fresh(64);
    const digest = await addAdapter(engine, ADAPTER);
    expect(await cached(request(prompt, { tenant: 'a' }))).toBe(0);
    expect(await cached(request(prompt, { tenant: 'b' }))).toBe(0);
    expect(await cached(request(prompt, { tenant: 'a', cacheSalt: 's' }))).toBe(0);
    expect(await cached(request(prompt, { tenant: 'a' }, digest))).toBe(0);
    for (const mine of [{ tenant: 'a' }, { tenant: 'b' }, { tenant: 'a', cacheSalt: 's' }]) {
      expect(await cached(request(prompt, mine))).toBe(48);
    }
    expect(await cached(request(prompt, { tenant: 'a' }, digest))).toBe(48);
  });

  it('is shared between tenants where the operator says so, for the base model only', async () => {
    const open = await startTinyEngine(MODEL, { prefixCache: 'shared' });
    try {
      const prompt = fresh(64);
      const digest = await addAdapter(open, ADAPTER);
      expect(await cached(request(prompt, { tenant: 'a' }), open)).toBe(0);
      expect(await cached(request(prompt, { tenant: 'b' }), open)).toBe(48);
      expect(await cached(request(prompt, { tenant: 'a' }, digest), open)).toBe(0);
      expect(await cached(request(prompt, { tenant: 'b' }, digest), open)).toBe(0);
    } finally {
      await open.close();
    }
  });

  it('leaves prompts whose tokens are to be scored alone', async () => {
    const asked = request(fresh(64));
    const scoring = { ...asked, sampling: { ...asked.sampling, promptLogprobs: 1 } };
    await ask(engine, asked);
    const answer = await ask(engine, scoring);
    expect(answer.finish?.usage.cachedPromptTokens).toBe(0);
    expectSameBits(answer, await ask(without, scoring), 'scored');
  });

  it('gives its pages to whoever needs them, and everything still is as it was', async () => {
    const { pagesTotal } = await engine.stats();
    const small = await startTinyEngine(MODEL, {
      poolBytes: Math.floor((16 << 20) / pagesTotal) * 24,
      maxModelLen: 256,
    });
    try {
      const prompts = Array.from({ length: 6 }, () => fresh(90));
      for (let turn = 0; turn < 3; turn++) {
        for (const prompt of prompts) {
          const asked = request([...prompt, turn + 5]);
          expectSameBits(await ask(small, asked), await ask(without, asked), 'short of pages');
        }
      }
      const { prefixEvictionsTotal, pagesPrefix, pagesKv } = await small.stats();
      expect(prefixEvictionsTotal).toBeGreaterThan(0);
      expect(pagesPrefix).toBeGreaterThan(0);
      expect(pagesKv).toBe(0);
    } finally {
      await small.close();
    }
  });
});

describe('pinning an adapter', () => {
  it('reads it at once and keeps it, and is refused where too little would be left', async () => {
    const engine = await startTinyEngine(MODEL);
    try {
      const digest = await addAdapter(engine, ADAPTER);
      expect((await engine.stats()).residentAdapters).toEqual([]);
      await engine.pinAdapter(digest, true);
      await expect.poll(async () => (await engine.stats()).residentAdapters).toEqual([digest]);
      await expect(engine.pinAdapter('unknown', true)).rejects.toMatchObject({ code: 'adapter_not_loaded' });
      const { pagesTotal, pagesAdapter } = await engine.stats();
      const small = await startTinyEngine(MODEL, {
        poolBytes: Math.floor((16 << 20) / pagesTotal) * (pagesAdapter + 1),
        maxModelLen: 64,
      });
      try {
        const refused = small.pinAdapter(await addAdapter(small, ADAPTER), true);
        await expect(refused).rejects.toMatchObject({ code: 'adapter_does_not_fit' });
      } finally {
        await small.close();
      }
    } finally {
      await engine.close();
    }
  });
});

describe('a request with a timeout', () => {
  it('is refused at once where it would wait longer, with the time to come again', async () => {
    const engine = await startTinyEngine(MODEL, { maxRunning: 1, threads: 1 });
    try {
      const busy = Array.from({ length: 30 }, (_, index) =>
        ask(engine, { prompt: tokens([5, 6, 7 + index]), sampling: { maxTokens: 200, ignoreEos: true } }),
      );
      await expect.poll(async () => (await engine.stats()).running).toBe(1);
      const hurried = {
        prompt: tokens([9, 9, 9]),
        sampling: { maxTokens: 5 },
        scheduling: { timeoutSeconds: 0.001 },
      };
      const answer = await ask(engine, hurried);
      expect(answer.error).toMatchObject({ code: 'deadline_exceeded' });
      expect((await ask(engine, { ...hurried, scheduling: { timeoutSeconds: 600 } })).error).toBeNull();
      for (const { error } of await Promise.all(busy)) expect(error).toBeNull();
    } finally {
      await engine.close();
    }
  });
});
