/** The engine process: what happens to requests and to the gateway when it dies, and how it comes back. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EngineProcess, type GenerationEvent, startEngineProcess } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  addAdapter,
  ask,
  FIXTURES,
  GREEDY,
  ONE_TENANT,
  SCHEDULING_OPTIONS,
  tokens,
} from '../support/engine.ts';

const MODEL = 'llama-tied';
const PROMPT = tokens([5, 17, 42, 99, 7]);

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < 20_000; waited += 20) {
    if (await condition()) return;
    await sleep(20);
  }
  throw new Error('the condition did not come true within 20 s');
}

describe('engine process', () => {
  let home: string;
  let engine: EngineProcess;
  const restarts: string[] = [];

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'polylora-process-'));
    engine = await startEngineProcess({
      model: join(FIXTURES, 'models', MODEL),
      home,
      hubToken: null,
      weights: 'f32',
      loraDtype: 'f16',
      kvCacheDtype: 'f16',
      threads: 1,
      maxModelLen: null,
      poolBytes: 8 << 20,
      maxBatchTokens: 64,
      maxRunning: 8,
      ...SCHEDULING_OPTIONS,
      onRestart: (reason) => restarts.push(reason),
    });
  });

  afterAll(async () => {
    await engine.close();
    await rm(home, { recursive: true, force: true });
  });

  it('answers as the engine in this process does', async () => {
    const answer = await ask(engine, { prompt: PROMPT, sampling: { maxTokens: 12, ignoreEos: true } });
    expect(answer.error).toBeNull();
    expect(answer.ids).toHaveLength(12);
    expect(answer.finish?.reason).toBe('length');
    expect(await engine.detokenize(answer.ids)).toBe(answer.text);
  });

  it('ends running requests with a clear error when it is killed, and serves again with the same adapters', async () => {
    const adapter = await addAdapter(engine, join(FIXTURES, 'models', MODEL, 'adapter'));
    const request = { prompt: PROMPT, adapter, sampling: { maxTokens: 20, ignoreEos: true } };
    const before = await ask(engine, request);
    expect(before.error).toBeNull();

    const events: GenerationEvent[] = [];
    const sampling = { ...GREEDY, maxTokens: engine.model.maxModelLen - 10, ignoreEos: true };
    for await (const event of engine.generate({
      id: 'doomed',
      prompt: PROMPT,
      adapter,
      sampling,
      scheduling: ONE_TENANT,
    })) {
      events.push(event);
      if (events.length === 3) process.kill(engine.pid!, 'SIGKILL');
    }
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'engine_unavailable' });
    expect(engine.ready).toBe(false);
    const meanwhile = await ask(engine, request);
    expect(meanwhile.error?.code).toBe('engine_unavailable');

    await until(() => engine.ready);
    expect(restarts).toEqual([expect.stringContaining('SIGKILL')]);
    expect(engine.restarts).toBe(1);
    const after = await ask(engine, request);
    expect(after).toEqual(before);
  });

  it('comes back although an adapter was refused, and each time it is killed', async () => {
    const tensor = { file: 0, dtype: 'F16', shape: [1, 1], begin: 0 } as const;
    const change = { rank: 1, scale: 1, a: { tensor }, b: { tensor } };
    const module = { layer: 0, module: 'no_such_module' as 'q_proj', lowRank: [change] };
    const files = [{ path: 'nowhere', bytes: 0, modifiedMs: 0 }];
    const broken = { digest: 'broken', files, modules: [module] };
    await expect(engine.addAdapter(broken)).rejects.toMatchObject({ code: 'internal_error' });
    for (let kill = 0; kill < 2; kill++) {
      const { restarts: before } = engine;
      process.kill(engine.pid!, 'SIGKILL');
      await until(() => engine.ready && engine.restarts > before);
      const answer = await ask(engine, { prompt: PROMPT, sampling: { maxTokens: 3, ignoreEos: true } });
      expect(answer.ids).toHaveLength(3);
    }
  });

  it('frees the pages of a client that leaves, within a step', async () => {
    const sampling = { maxTokens: engine.model.maxModelLen - 10, ignoreEos: true };
    // The engine may be done before its pages are looked at, or before it is told.
    for (let reason: string | undefined; reason !== 'abort'; ) {
      const controller = new AbortController();
      let done = false;
      const running = ask(engine, { prompt: PROMPT, sampling }, controller.signal).finally(() => {
        done = true;
      });
      while (!done && (await engine.stats()).pagesKv === 0);
      controller.abort();
      reason = (await running).finish?.reason;
    }
    const stats = await engine.stats();
    expect([stats.running, stats.waiting, stats.pagesKv]).toEqual([0, 0, 0]);
  });

  it('refuses to start on a model that is not there, with the reason', async () => {
    const starting = startEngineProcess({
      model: join(home, 'nothing-here'),
      home,
      hubToken: null,
      weights: 'f32',
      loraDtype: 'f16',
      kvCacheDtype: 'f16',
      threads: 1,
      maxModelLen: null,
      poolBytes: null,
      maxBatchTokens: 64,
      maxRunning: 8,
      ...SCHEDULING_OPTIONS,
    });
    await expect(starting).rejects.toMatchObject({ code: 'model_not_found' });
  });
});
