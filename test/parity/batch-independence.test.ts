/**
 * RELIABILITY 1: the default model and the demo adapters. Each request alone and in batches of 1 to 32 with the others,
 * with prefill cut at odd places, has the same tokens and, bit for bit, the same logprobs.
 */
import { join } from 'node:path';
import type { ChatMessage, Engine, SamplingParams } from '@polylora/engine';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type Answer,
  type Ask,
  addAdapter,
  ask,
  DEMO_ADAPTERS,
  startOracleEngine,
} from '../support/engine.ts';
import { expectSameBits } from '../support/same-bits.ts';

const PATIENCE_MS = 300_000;
const VARIANTS = [null, 'support-triage', 'text-to-sql', 'pirate', 'headline'];
const BATCH_SIZES = [1, 2, 3, 5, 8, 16, 32];
const LARGEST = 32;

type KvCacheDtype = 'f16' | 'int8';
const CACHES: readonly { readonly kvCacheDtype: KvCacheDtype; readonly budgets: readonly number[] }[] = [
  { kvCacheDtype: 'f16', budgets: [512, 33, 16, 7] },
  { kvCacheDtype: 'int8', budgets: [512, 7] },
];

const LONG = 'The harbour master wrote every ship, its cargo and its captain into the great book. '.repeat(6);
const CONTENTS = [
  'What is the capital of France?',
  'My parcel 8841 arrived broken and nobody answers the phone. I want my money back!',
  LONG,
  'Hi',
  'List all customers from Berlin, newest first. Table: customers(id, name, city, created_at).',
  'Schreibe einen Satz über Füße, naïve Cafés und 東京 🙂.',
  'Scientists found a new species of frog in the mountains of Ecuador. It is blue and sings at night.',
];
const SAMPLINGS: readonly Partial<SamplingParams>[] = [
  { temperature: 0 },
  { temperature: 0.9, seed: 7 },
  { temperature: 1.3, topP: 0.8, topK: 40, seed: 2 ** 40 + 1 },
  { temperature: 0.7, minP: 0.05, presencePenalty: 0.5, frequencyPenalty: 0.3, seed: 11 },
  { temperature: 0, repetitionPenalty: 1.2, logitBias: [[198, -5]] },
];

/** The request at a place in the batch. Variants and samplings differ from neighbour to neighbour. */
function request(index: number, digests: ReadonlyMap<string | null, string | null>): Ask {
  const messages: ChatMessage[] = [{ role: 'user', content: CONTENTS[index % CONTENTS.length]! }];
  return {
    prompt: { kind: 'chat', messages },
    adapter: digests.get(VARIANTS[index % VARIANTS.length]!) ?? null,
    sampling: {
      ...SAMPLINGS[(index + Math.floor(index / VARIANTS.length)) % SAMPLINGS.length],
      // Ends at different steps, so that the batch shrinks while others still run.
      maxTokens: 6 + (index % 5),
      ignoreEos: true,
      logprobs: 3,
      promptLogprobs: index % 3 === 0 ? 1 : null,
    },
  };
}

let alone: readonly Answer[];
let open: { readonly engine: Engine; readonly requests: readonly Ask[] } | null = null;

async function start(kvCacheDtype: KvCacheDtype, maxBatchTokens: number): Promise<NonNullable<typeof open>> {
  await open?.engine.close();
  open = null;
  const engine = await startOracleEngine({ kvCacheDtype, maxBatchTokens });
  const digests = new Map<string | null, string | null>([[null, null]]);
  for (const name of VARIANTS) {
    if (name !== null) digests.set(name, await addAdapter(engine, join(DEMO_ADAPTERS, name)));
  }
  const requests = Array.from({ length: LARGEST }, (_, index) => request(index, digests));
  open = { engine, requests };
  return open;
}
afterAll(() => open?.engine.close());

describe.each(CACHES)('keys and values in $kvCacheDtype', ({ kvCacheDtype, budgets }) => {
  describe('each request alone, prompt in one chunk', () => {
    it('gives finite numbers and the asked number of tokens', { timeout: PATIENCE_MS }, async () => {
      const { engine, requests } = await start(kvCacheDtype, 512);
      const answers: Answer[] = [];
      for (const one of requests) answers.push(await ask(engine, one));
      for (const [index, { error, ids, logprobs }] of answers.entries()) {
        expect(error).toBeNull();
        expect(ids).toHaveLength(requests[index]!.sampling!.maxTokens!);
        expect(logprobs.every(({ logprob }) => Number.isFinite(logprob))).toBe(true);
      }
      alone = answers;
    });
  });

  describe.each(budgets)('in batches, at most %i tokens a step', (maxBatchTokens) => {
    it('starts', { timeout: PATIENCE_MS }, async () => {
      await start(kvCacheDtype, maxBatchTokens);
    });

    it.each(BATCH_SIZES)('batch of %i: the same bits as alone', { timeout: PATIENCE_MS }, async (size) => {
      const { engine, requests } = open!;
      // The window moves with the size, so that other requests are neighbours, and all are asked at least once.
      const indices = Array.from({ length: size }, (_, offset) => (size * 3 + offset) % LARGEST);
      const answers = await Promise.all(indices.map((index) => ask(engine, requests[index]!)));
      for (const [place, index] of indices.entries()) {
        expectSameBits(answers[place]!, alone[index]!, `request ${index}`);
      }
    });

    // Where prompts are cut inside a block of 16 tokens.
    if (maxBatchTokens % 16 === 0) return;
    it('joining while others decode: the same bits as alone', { timeout: PATIENCE_MS }, async () => {
      const { engine, requests } = open!;
      const answers: Promise<Answer>[] = [];
      for (const one of requests) {
        answers.push(ask(engine, one));
        const { stepsTotal } = await engine.stats();
        if (answers.length < LARGEST) await stepsAfter(engine, stepsTotal);
      }
      for (const [index, answer] of (await Promise.all(answers)).entries()) {
        expectSameBits(answer, alone[index]!, `request ${index}`);
      }
    });
  });
});

/** Waits until the engine has done another step, or has nothing left to do. */
async function stepsAfter(engine: Engine, steps: number): Promise<void> {
  for (;;) {
    const { stepsTotal, running, waiting } = await engine.stats();
    if (stepsTotal > steps || running + waiting === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
