/** The engine when memory is short: sequences are preempted, adapters come and go, and no answer changes. */
import { cp, mkdtemp, open, readdir, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ask, addAdapter, ask, FIXTURES, startTinyEngine, tokens } from '../support/engine.ts';
import { expectSameBits } from '../support/same-bits.ts';

const MODEL = 'llama-tied';
const ADAPTER = join(FIXTURES, 'models', MODEL, 'adapter');

function request(seed: number, length: number, maxTokens: number, adapter: string | null = null): Ask {
  const ids = Array.from({ length }, (_, index) => 3 + ((seed * 31 + index * 17) % 290));
  return { prompt: tokens(ids), adapter, sampling: { maxTokens, ignoreEos: true, logprobs: 2 } };
}

describe('an engine short of pages', () => {
  let roomy: Engine;
  let small: Engine;

  beforeAll(async () => {
    roomy = await startTinyEngine(MODEL);
    const { pagesTotal } = await roomy.stats();
    small = await startTinyEngine(MODEL, {
      poolBytes: Math.floor((16 << 20) / pagesTotal) * 40,
      maxModelLen: 256,
      maxBatchTokens: 48,
    });
  });

  afterAll(async () => {
    await roomy.close();
    await small.close();
  });

  it('preempts and recomputes without changing a bit', async () => {
    const requests = Array.from({ length: 8 }, (_, index) => request(index, 60 + index, 100));
    const expected = await Promise.all(requests.map((each) => ask(roomy, each)));
    // After short answers the engine takes in more requests than it has room for in the end.
    for (let seed = 100; seed < 116; seed++) await ask(small, request(seed, 8, 2));
    const answers = await Promise.all(requests.map((each) => ask(small, each)));
    expect((await small.stats()).preemptionsTotal).toBeGreaterThan(0);
    expect((await roomy.stats()).preemptionsTotal).toBe(0);
    expect(answers).toEqual(expected);
    // Pages are given back after the last event, when the run that used them has ended.
    await expect.poll(async () => (await small.stats()).pagesKv).toBe(0);
  });

  it('refuses at once what can never fit', async () => {
    const answer = await ask(small, request(1, 200, 57));
    expect(answer.error).toMatchObject({
      code: 'context_length_exceeded',
      message: expect.stringContaining('maximum context length is 256 tokens'),
    });
  });

  it('refuses a huge prompt without reading it', async () => {
    const prompt = { kind: 'text', text: 'word '.repeat(2_000_000) } as const;
    const started = performance.now();
    const answer = await ask(small, { prompt });
    expect(answer.error).toMatchObject({
      code: 'context_length_exceeded',
      message: expect.stringContaining('at least'),
    });
    expect(performance.now() - started).toBeLessThan(500);
  });

  it('scores a prompt without generating', async () => {
    const answer = await ask(small, { ...request(1, 70, 0), sampling: { maxTokens: 0, promptLogprobs: 1 } });
    expect(answer.ids).toEqual([]);
    expect(answer.promptLogprobs).toHaveLength(70);
    expect(answer.promptLogprobs[0]).toBeNull();
    expect(answer.finish).toMatchObject({
      reason: 'length',
      usage: { promptTokens: 70, completionTokens: 0 },
    });
  });

  it('serves an adapter, forgets it when removed, and fails only its requests when its file is gone', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'polylora-adapter-'));
    try {
      const digest = await addAdapter(small, ADAPTER);
      const [adapted, base] = await Promise.all([
        ask(small, request(2, 20, 10, digest)),
        ask(small, request(2, 20, 10)),
      ]);
      expect(adapted.error).toBeNull();
      expect(adapted.logprobs).not.toEqual(base.logprobs);
      await small.removeAdapter(digest);
      expect((await ask(small, request(2, 20, 10, digest))).error?.code).toBe('adapter_not_loaded');
      await expect.poll(async () => (await small.stats()).pagesAdapter).toBe(0);

      await cp(ADAPTER, directory, { recursive: true });
      const again = await addAdapter(small, directory);
      const file = (await readdir(directory)).find((name) => name.endsWith('.safetensors'))!;
      await truncate(join(directory, file), 1000);
      const [broken, untouched] = await Promise.all([
        ask(small, request(2, 20, 10, again)),
        ask(small, request(2, 20, 10)),
      ]);
      expect(broken.error).toMatchObject({
        code: 'adapter_load_failed',
        message: expect.stringContaining(file),
      });
      expectSameBits(untouched, base, 'beside a broken adapter');
      await expect.poll(async () => (await small.stats()).pagesAdapter).toBe(0);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  it('never serves an overwritten file under the old digest, and serves it again once it is restored', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'polylora-adapter-'));
    try {
      await cp(ADAPTER, directory, { recursive: true });
      const digest = await addAdapter(small, directory);
      const file = (await readdir(directory)).find((name) => name.endsWith('.safetensors'))!;
      const handle = await open(join(directory, file), 'r+');
      await handle.write(Buffer.alloc(2), 0, 2, (await handle.stat()).size - 2);
      await handle.utimes(new Date(), new Date(Date.now() + 5_000));
      await handle.close();
      const answer = await ask(small, request(2, 20, 10, digest));
      expect(answer.error).toMatchObject({
        code: 'adapter_load_failed',
        message: expect.stringContaining('was changed after it was checked'),
      });

      await cp(ADAPTER, directory, { recursive: true, force: true });
      expect(await addAdapter(small, directory)).toBe(digest);
      expect((await ask(small, request(2, 20, 10, digest))).error).toBeNull();
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});
