/**
 * Drafted tokens change nothing but the time: with every match drafted for, whatever it costs, each request has the same tokens
 * and, bit for bit, the same logprobs as without; alone, in batches of mixed adapters, short of memory, and cut off in the middle
 * of tokens that were right. The requests repeat themselves enough for drafts to be right, and differ enough for some to be wrong.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine, SamplingParams } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Answer,
  type Ask,
  addAdapter,
  ask,
  DEMO_ADAPTERS,
  startOracleEngine,
  startTinyEngine,
  tokens,
} from '../support/engine.ts';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { expectSameBits } from '../support/same-bits.ts';

const RANKS = [3, 16];

const KINDS = [
  { model: 'llama', weights: 'f32', kvCacheDtype: 'f16', variant: null },
  { model: 'qwen3', weights: 'int8', kvCacheDtype: 'int8', variant: null },
  { model: 'qwen2', weights: 'int8', kvCacheDtype: 'f16', variant: 'portable' },
] as const;

/** Each is asked of the base model and of the adapters in turn. */
const SAMPLINGS: readonly Partial<SamplingParams>[] = [
  { temperature: 0 },
  // Among few tokens of a random model what is drawn repeats itself now and then.
  { temperature: 0.3, seed: 5 },
  { temperature: 0.8, topK: 2, seed: 2 ** 40 + 1 },
  { temperature: 0.6, topP: 0.3, minP: 0.1, seed: 9 },
  { temperature: 0, repetitionPenalty: 1.05, presencePenalty: 0.02, frequencyPenalty: 0.01 },
  { temperature: 0, logitBias: [[7, 2]], minTokens: 30 },
  { temperature: 0, logprobs: null },
];

describe.each(KINDS)('$model in $weights, keys and values in $kvCacheDtype, variant $variant', (kind) => {
  const { model, weights, kvCacheDtype, variant } = kind;
  const detected = process.env.POLYLORA_KERNEL_VARIANT;
  let folder: string;
  let asks: readonly Ask[];
  let alone: readonly Answer[];

  async function start(options: Parameters<typeof startTinyEngine>[1]): Promise<Engine> {
    const engine = await startTinyEngine(model, { weights, kvCacheDtype, ...options });
    for (const rank of RANKS) await addAdapter(engine, join(folder, `rank-${rank}`));
    return engine;
  }

  beforeAll(async () => {
    if (variant !== null) process.env.POLYLORA_KERNEL_VARIANT = variant;
    folder = await mkdtemp(join(tmpdir(), 'polylora-speculation-'));
    const engine = await startTinyEngine(model, { weights, kvCacheDtype, speculation: 'off' });
    try {
      const adapters: (string | null)[] = [null];
      for (const rank of RANKS) {
        await writeRandomAdapter(join(folder, `rank-${rank}`), engine.model, { rank, seed: rank });
        adapters.push(await addAdapter(engine, join(folder, `rank-${rank}`)));
      }
      asks = Array.from({ length: 2 * SAMPLINGS.length }, (_, index) => ({
        prompt: tokens(prompt(5 + ((index * 23) % 60), index)),
        adapter: adapters[index % adapters.length]!,
        sampling: {
          maxTokens: 25 + ((index * 13) % 40),
          ignoreEos: true,
          logprobs: 2,
          promptLogprobs: index % 4 === 0 ? 1 : null,
          ...SAMPLINGS[index % SAMPLINGS.length],
        },
      }));
      const answers: Answer[] = [];
      for (const one of asks) answers.push(await ask(engine, one));
      const { draftedTokensTotal } = await engine.stats();
      expect(draftedTokensTotal).toBe(0);
      alone = answers;
    } finally {
      await engine.close();
    }
  });
  afterAll(async () => {
    if (detected === undefined) delete process.env.POLYLORA_KERNEL_VARIANT;
    else process.env.POLYLORA_KERNEL_VARIANT = detected;
    await rm(folder, { recursive: true, force: true });
  });

  async function withEngine(
    options: Parameters<typeof startTinyEngine>[1],
    use: (engine: Engine) => Promise<void>,
  ): Promise<void> {
    const engine = await start({ speculation: 'always', ...options });
    try {
      await use(engine);
      // Right drafts and wrong ones, or nothing was tested.
      const { draftedTokensTotal, acceptedTokensTotal } = await engine.stats();
      expect(acceptedTokensTotal).toBeGreaterThan(5);
      expect(draftedTokensTotal - acceptedTokensTotal).toBeGreaterThan(5);
    } finally {
      await engine.close();
    }
  }

  it('each request alone has the same bits', async () => {
    await withEngine({}, async (engine) => {
      for (const [index, one] of asks.entries()) {
        expectSameBits(await ask(engine, one), alone[index]!, `request ${index}`);
      }
    });
  });

  it.each([
    ['all at once', {}],
    ['with few rows a step, prompts cut at odd places', { maxBatchTokens: 19 }],
    ['on one thread, where blocks are shared', { threads: 1, prefixCache: 'shared' }],
    ['in a pool so small that sequences are set back', { poolBytes: 1 << 18 }],
  ] as const)('together, %s: the same bits', async (_, options) => {
    await withEngine(options, async (engine) => {
      // Twice: the second time what the first left in the prefix cache is found.
      for (let round = 0; round < 2; round++) {
        const answers = await Promise.all(asks.map((one) => ask(engine, one)));
        for (const [index, answer] of answers.entries()) {
          expectSameBits(answer, alone[index]!, `request ${index}`);
        }
      }
    });
  });

  it('ends at every length, in the middle of right drafts too, and counts what it reports', async () => {
    await withEngine({}, async (engine) => {
      for (const [index, one] of asks.entries()) {
        const { ids } = alone[index]!;
        for (let most = 1 + (index % 5); most <= ids.length; most += 5) {
          const cut = await ask(engine, { ...one, sampling: { ...one.sampling, maxTokens: most } });
          expect(cut.ids).toEqual(ids.slice(0, most));
          expect(cut.finish).toMatchObject({ reason: 'length', usage: { completionTokens: most } });
        }
      }
    });
  });

  it('stops at a stop token in the middle of right drafts, and after the least number of tokens', async () => {
    const off = await start({ speculation: 'off' });
    try {
      await withEngine({}, async (engine) => {
        for (const [index, one] of asks.entries()) {
          const { ids } = alone[index]!;
          for (const at of [ids.length >> 1, ids.length - 3]) {
            const sampling = { ...one.sampling, stopTokenIds: [ids[at]!], minTokens: at - (index % 3) };
            const stopped = { ...one, sampling };
            const [actual, expected] = [await ask(engine, stopped), await ask(off, stopped)];
            expectSameBits(actual, expected, `request ${index} to token ${at}`);
            expect(actual.finish).toEqual(expected.finish);
          }
        }
      });
    } finally {
      await off.close();
    }
  });
});

describe('the default model, drafting where it pays', () => {
  const PATIENCE_MS = 300_000;
  const TEXT =
    'The harbour master wrote every ship, its cargo and its captain into the great book. The Anna Maria brought oak ' +
    'from Riga on 3 May 1834, and the Good Hope took salt and coal to Bergen two days later.';
  const CONTENTS = [
    `Repeat this text word for word: ${TEXT}`,
    `Write this text again, but with "ledger" in place of "book": ${TEXT}`,
    `List the ships, their cargo and their harbours. ${TEXT}`,
    'Explain to a child why the sky is blue.',
  ];

  it('answers alone and together as without drafts', { timeout: PATIENCE_MS }, async () => {
    const answers = { off: [] as Answer[], auto: [] as Answer[] };
    let together: readonly Answer[] = [];
    for (const speculation of ['off', 'auto'] as const) {
      const engine = await startOracleEngine({ speculation });
      try {
        const headline = await addAdapter(engine, join(DEMO_ADAPTERS, 'headline'));
        const asks = CONTENTS.flatMap((content, index): Ask[] =>
          [{ temperature: 0 }, { temperature: 0.7 }, { temperature: 0, stop: ['d its ca', ' 1834'] }].map(
            (sampling) => ({
              prompt: { kind: 'chat', messages: [{ role: 'user', content }] },
              adapter: index === 2 ? headline : null,
              sampling: { ...sampling, seed: index, maxTokens: 60, logprobs: 1 },
            }),
          ),
        );
        for (const one of asks) answers[speculation].push(await ask(engine, one));
        const { draftedTokensTotal, acceptedTokensTotal } = await engine.stats();
        if (speculation === 'off') {
          expect(draftedTokensTotal).toBe(0);
        } else {
          expect(acceptedTokensTotal).toBeGreaterThan(30);
          expect(acceptedTokensTotal).toBeGreaterThan(draftedTokensTotal / 2);
          together = await Promise.all(asks.map((one) => ask(engine, one)));
        }
      } finally {
        await engine.close();
      }
    }
    for (const [index, alone] of answers.off.entries()) {
      expectSameBits(answers.auto[index]!, alone, `request ${index}`);
      expectSameBits(together[index]!, alone, `request ${index} beside others`);
      expect(answers.auto[index]!.finish).toEqual(alone.finish);
    }
    // The stop string was in the middle of what is quoted, and so of right drafts.
    const [whole, , stopped] = answers.auto;
    expect(stopped!.ids.length).toBeLessThan(whole!.ids.length);
    expect(stopped!.finish).toMatchObject({ reason: 'stop' });
  });
});

/** Tokens in which some stretches come again. */
function prompt(length: number, seed: number): number[] {
  return Array.from({ length }, (_, index) => 5 + ((((index % 11) * 31) ^ (seed * 17)) % 90));
}
