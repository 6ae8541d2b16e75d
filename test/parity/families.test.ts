/** Every model family, every GGUF type and one PEFT adapter on each, against float32 transformers and PEFT. */
import { join } from 'node:path';
import type { Engine } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addAdapter, FIXTURES, startTinyEngine } from '../support/engine.ts';
import { expectAsReference, INT8_MEAN, run, score } from './compare.ts';
import { distance, type ExpectedCase, readExpected } from './expected.ts';

const MODELS: readonly { model: string; adapter: string | null }[] = [
  { model: 'llama', adapter: 'llama' },
  { model: 'llama-tied', adapter: 'llama-tied' },
  { model: 'mistral', adapter: 'mistral' },
  { model: 'qwen2', adapter: 'qwen2' },
  { model: 'qwen3', adapter: 'qwen3' },
  { model: 'qwen2-narrow', adapter: 'qwen2-narrow' },
  { model: 'gguf/llama-f32.gguf', adapter: 'llama-tied' },
  { model: 'gguf/llama-f16.gguf', adapter: 'llama-tied' },
  { model: 'gguf/llama-bf16.gguf', adapter: 'llama-tied' },
  { model: 'gguf/llama-q8_0.gguf', adapter: 'llama-tied' },
  { model: 'gguf/llama-q4_0.gguf', adapter: 'llama-tied' },
  { model: 'gguf/llama-q4_1.gguf', adapter: 'llama-tied' },
  { model: 'gguf/llama-q4_k-q6_k.gguf', adapter: null },
  { model: 'gguf/llama3-rope-bf16.gguf', adapter: 'llama' },
  { model: 'gguf/mistral-spm-q8_0.gguf', adapter: 'mistral' },
  { model: 'gguf/qwen2-f16.gguf', adapter: 'qwen2' },
  { model: 'gguf/qwen3-bf16.gguf', adapter: 'qwen3' },
];

async function add(engine: Engine, adapter: string | null): Promise<string | null> {
  return adapter === null ? null : addAdapter(engine, join(FIXTURES, 'models', adapter, 'adapter'));
}

describe.each(MODELS)('$model with float32 weights', ({ model, adapter }) => {
  const expected = readExpected(model);
  let engine: Engine;
  let digest: string | null;
  beforeAll(async () => {
    // 24 tokens a step: prompts of 33 and 70 are prefilled in chunks that end inside a block.
    engine = await startTinyEngine(model, { maxBatchTokens: 24 });
    digest = await add(engine, adapter);
  });
  afterAll(() => engine?.close());

  it.each(expected.texts)('tokenizes the text $text', async ({ text, ids }) => {
    expect(await engine.tokenize({ kind: 'text', text })).toEqual(ids);
  });

  it.each(expected.chats)('renders and tokenizes the chat $messages', async ({ messages, ids }) => {
    const prompt = { kind: 'chat', messages } as const;
    if (ids === null) {
      await expect(engine.tokenize(prompt)).rejects.toMatchObject({ name: 'EngineError' });
    } else {
      expect(await engine.tokenize(prompt)).toEqual(ids);
    }
  });

  it.each(expected.cases.map((one) => ({ one, who: one.adapter ?? 'base', length: one.prompt.length })))(
    '$who, prompt of $length tokens',
    async ({ one }) => {
      expectAsReference(await run(engine, one.adapter === null ? null : digest, one), one);
    },
  );
});

describe.each(MODELS)('$model with int8 weights', ({ model, adapter }) => {
  const expected = readExpected(model);

  it('stays near the float32 reference, alone with the same bits as in a batch', async () => {
    const engine = await startTinyEngine(model, { weights: 'int8' });
    try {
      const digest = await add(engine, adapter);
      const scoreOf = (one: ExpectedCase) => score(engine, one.adapter === null ? null : digest, one);
      const scored = await Promise.all(expected.cases.map((one) => scoreOf(one)));
      const reference = expected.cases.flatMap((one) => [...one.prompt_logprobs, ...one.greedy_logprobs]);
      expect(distance(scored.flat(), reference).mean).toBeLessThan(INT8_MEAN);
      for (const [index, one] of expected.cases.entries()) {
        expect(await scoreOf(one)).toEqual(scored[index]);
      }
    } finally {
      await engine.close();
    }
  });
});
