/**
 * RELIABILITY 2: what a co-batched request may do to its neighbours: nothing. A tiny model, adapters of odd ranks, and
 * neighbours that overflow, leave, or push others out of memory.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine, ModelInfo } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Ask, addAdapter, ask, startTinyEngine, tokens } from '../support/engine.ts';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { expectSameBits } from '../support/same-bits.ts';

const MODEL = 'llama';
const RANKS = [1, 3, 7, 16, 33, 61];

const KINDS = [
  { weights: 'f32', loraDtype: 'f16', kvCacheDtype: 'f16' },
  { weights: 'int8', loraDtype: 'f16', kvCacheDtype: 'f16' },
  { weights: 'int8', loraDtype: 'int8', kvCacheDtype: 'f16' },
  { weights: 'f32', loraDtype: 'f16', kvCacheDtype: 'int8' },
] as const;

const NAME = '$weights weights, $loraDtype adapters, $kvCacheDtype keys and values';

describe.each(KINDS)(NAME, ({ weights, loraDtype, kvCacheDtype }) => {
  let folder: string;
  let info: ModelInfo;
  let alone: readonly Answer[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'polylora-neighbours-'));
    const engine = await startTinyEngine(MODEL, { weights, loraDtype, kvCacheDtype });
    info = engine.model;
    try {
      for (const rank of RANKS)
        await writeRandomAdapter(join(folder, `rank-${rank}`), info, { rank, seed: rank });
      // Keys in eight bits have a scale each, which holds whatever f32 holds.
      const scale = kvCacheDtype === 'int8' ? 60_000 : 1;
      const overflow = { rank: 3, seed: 99, magnitude: 50_000, scale };
      await writeRandomAdapter(join(folder, 'overflow'), info, overflow);
      await writeRandomAdapter(join(folder, 'beyond-f16'), info, { rank: 3, seed: 98, magnitude: 1e30 });
      const answers: Answer[] = [];
      for (const one of await requests(engine)) answers.push(await ask(engine, one));
      for (const { error, logprobs } of answers) {
        expect(error).toBeNull();
        expect(logprobs.every(({ logprob }) => Number.isFinite(logprob))).toBe(true);
      }
      alone = answers;
    } finally {
      await engine.close();
    }
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** Two requests for each rank and two for the base: prompts of 3 to 101 tokens, greedy and sampled. */
  async function requests(engine: Engine): Promise<Ask[]> {
    const adapters: (string | null)[] = [null];
    for (const rank of RANKS) adapters.push(await addAdapter(engine, join(folder, `rank-${rank}`)));
    return Array.from({ length: 2 * adapters.length }, (_, index) => ({
      prompt: tokens(prompt(3 + ((index * 37) % 99), index)),
      adapter: adapters[index % adapters.length]!,
      sampling: {
        temperature: index % 2 === 0 ? 0 : 1.1,
        seed: index,
        maxTokens: 12 + index,
        ignoreEos: true,
        logprobs: 2,
        promptLogprobs: 1,
      },
    }));
  }

  async function expectAllAsAlone(answers: readonly Promise<Answer>[]): Promise<void> {
    for (const [index, answer] of (await Promise.all(answers)).entries()) {
      expectSameBits(answer, alone[index]!, `request ${index}`);
    }
  }

  async function withEngine(
    options: Parameters<typeof startTinyEngine>[1],
    use: (engine: Engine, asks: readonly Ask[]) => Promise<void>,
  ): Promise<void> {
    const engine = await startTinyEngine(MODEL, { weights, loraDtype, kvCacheDtype, ...options });
    try {
      await use(engine, await requests(engine));
    } finally {
      await engine.close();
    }
  }

  it.each([512, 33, 16, 7, 1])('odd ranks together, at most %i tokens a step', async (maxBatchTokens) => {
    await withEngine({ maxBatchTokens }, async (engine, asks) => {
      await expectAllAsAlone(asks.map((one) => ask(engine, one)));
    });
  });

  it.each([1, 3])('with %i threads', async (threads) => {
    await withEngine({ threads }, async (engine, asks) => {
      await expectAllAsAlone(asks.map((one) => ask(engine, one)));
    });
  });

  describe('a neighbour whose activations overflow', () => {
    it.each([512, 16, 7])('fails by itself, at most %i tokens a step', async (maxBatchTokens) => {
      await withEngine({ maxBatchTokens }, async (engine, asks) => {
        const bad = await addAdapter(engine, join(folder, 'overflow'));
        const badAsk: Ask = { prompt: tokens(prompt(40, 1)), adapter: bad, sampling: { maxTokens: 8 } };
        const before = ask(engine, badAsk);
        const answers = asks.map((one) => ask(engine, one));
        const after = ask(engine, badAsk);
        await expectAllAsAlone(answers);
        for (const answer of await Promise.all([before, after])) {
          expect(answer.error).toMatchObject({ code: 'numerical_error' });
          expect(answer.finish).toBeNull();
        }
      });
    });

    it('leaves nothing in the pages that it gives back', async () => {
      // Room for little more than one request, so that every page has held NaN and infinities before.
      const poolBytes = 70 * pageBytes(info, 'f16');
      await withEngine({ poolBytes, maxModelLen: 256 }, async (engine, asks) => {
        const bad = await addAdapter(engine, join(folder, 'overflow'));
        for (const [index, one] of asks.entries()) {
          const poison = { prompt: tokens(prompt(250, index)), adapter: bad, sampling: { maxTokens: 1 } };
          expect((await ask(engine, poison)).error).toMatchObject({ code: 'numerical_error' });
          expectSameBits(await ask(engine, one), alone[index]!, `request ${index}`);
        }
      });
    });

    it('is refused by name where its weights do not fit the pool’s half floats', async () => {
      await withEngine({}, async (engine, asks) => {
        const answers = asks.map((one) => ask(engine, one));
        const refused = await addAdapter(engine, join(folder, 'beyond-f16')).then(
          async (adapter) => (await ask(engine, { prompt: tokens([5, 6, 7]), adapter })).error?.message,
          (error: Error) => error.message,
        );
        await expectAllAsAlone(answers);
        expect(refused).toMatch(/lora_[AB]|q_proj/);
      });
    });
  });

  it('a neighbour that leaves in the middle', async () => {
    await withEngine({ maxBatchTokens: 33 }, async (engine, asks) => {
      const leaving = [0, 1, 2].map((index) => {
        const leave = new AbortController();
        const sampling = { maxTokens: 300, ignoreEos: true };
        const answer = ask(engine, { ...asks[index]!, sampling }, leave.signal);
        setTimeout(() => leave.abort(), 5 * (index + 1));
        return answer;
      });
      await expectAllAsAlone(asks.map((one) => ask(engine, one)));
      for (const answer of await Promise.all(leaving)) expect(answer.finish?.reason).toBe('abort');
      await expect.poll(() => engine.stats()).toMatchObject({ running: 0, waiting: 0, pagesKv: 0 });
    });
  });

  it('neighbours that push each other out of memory', async () => {
    // Whether they outgrow the pool together depends on how fast the machine takes them in: as often as it needs, within reason.
    let preemptions = 0;
    for (const [round, pages] of [20, 24, 28, 32, 36, 48, ...Array<number>(24).fill(24)].entries()) {
      if (round >= 6 && preemptions > 0) break;
      const options = { poolBytes: pages * pageBytes(info, kvCacheDtype), maxModelLen: 128 };
      await withEngine(options, async (engine, asks) => {
        // After short answers the engine takes in more requests than it has room for in the end.
        for (let seed = 0; seed < 16; seed++) {
          await ask(engine, { prompt: tokens(prompt(4, 1000 + seed)), sampling: { maxTokens: 1 } });
        }
        // The base and ranks 1, 3 and 7: each fits beside its adapter, all together do not.
        const indices = asks.flatMap((_, index) => (index % (RANKS.length + 1) <= 3 ? [index] : []));
        const answers = await Promise.all(indices.map((index) => ask(engine, asks[index]!)));
        for (const [place, index] of indices.entries()) {
          expectSameBits(answers[place]!, alone[index]!, `request ${index}, ${pages} pages`);
        }
        preemptions += (await engine.stats()).preemptionsTotal;
        await expect.poll(async () => (await engine.stats()).pagesKv).toBe(0);
      });
    }
    expect(preemptions).toBeGreaterThan(0);
  });
});

/** One block of 16 tokens: keys and values of all layers. */
function pageBytes({ layerCount, kvHeadCount, headDim }: ModelInfo, kvCacheDtype: 'f16' | 'int8'): number {
  return 16 * layerCount * kvHeadCount * 2 * (kvCacheDtype === 'f16' ? headDim * 2 : headDim + 4);
}

function prompt(length: number, seed: number): number[] {
  return Array.from({ length }, (_, position) => 3 + ((position * 31 + seed * 17 + 5) % 290));
}
