/** The pooled hidden state of a decoder against float32 transformers and PEFT, and against itself in other batches. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cosine } from '../support/embedder.ts';
import { addAdapter, ask, FIXTURES, pool, startTinyEngine, tokens } from '../support/engine.ts';
import { GREEDY } from '../support/sampling.ts';

interface StateCase {
  readonly model: string;
  readonly adapter: string | null;
  readonly prompt: readonly number[];
  readonly state: readonly number[];
}

const CASES: readonly StateCase[] = JSON.parse(
  readFileSync(join(FIXTURES, 'hidden-states.json'), 'utf8'),
).cases;

const FAMILIES = [...new Set(CASES.map(({ model }) => model))];

const bitsOf = (vector: Float32Array) => Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);

describe.each(FAMILIES)('%s', (family) => {
  const cases = CASES.filter(({ model }) => model === family);

  describe.each([
    ['f32', 0.9999],
    ['int8', 0.98],
  ] as const)('with %s weights', (weights, least) => {
    let engine: Engine;
    let digest: string;
    beforeAll(async () => {
      // 24 tokens a step: longer prompts are read in chunks, and only the last has the row.
      engine = await startTinyEngine(family, { weights, maxBatchTokens: 24 });
      digest = await addAdapter(engine, join(FIXTURES, 'models', family, 'adapter'));
    });
    afterAll(() => engine?.close());

    const stateOf = ({ adapter, prompt }: StateCase) =>
      pool(engine, { prompt: tokens(prompt), adapter: adapter === null ? null : digest });

    it('gives the last hidden state, for the base and under an adapter', async () => {
      for (const one of cases) {
        const { vector, finish } = await stateOf(one);
        expect(cosine(vector, one.state)).toBeGreaterThan(least);
        expect(Math.hypot(...vector)).toBeCloseTo(1, 6);
        expect(finish).toMatchObject({
          reason: 'length',
          usage: { promptTokens: one.prompt.length, completionTokens: 0 },
        });
      }
    });

    it('gives the same bits beside others that generate, with a prefix that is known and without', async () => {
      const first = await Promise.all(cases.map(stateOf));
      const others = cases.map(({ prompt }) =>
        ask(engine, { prompt: tokens(prompt), sampling: { ...GREEDY, maxTokens: 40, ignoreEos: true } }),
      );
      const beside = await Promise.all(cases.map(stateOf));
      await Promise.all(others);
      for (const [index, { vector }] of first.entries()) {
        expect(bitsOf(beside[index]!.vector).equals(bitsOf(vector))).toBe(true);
      }
    });
  });
});

describe('an engine that pools', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await startTinyEngine('llama-tied');
  });
  afterAll(() => engine?.close());

  it('does not compute a known prefix again', async () => {
    const prompt = tokens(Array.from({ length: 40 }, (_, index) => 10 + index));
    const [first, second] = [await pool(engine, { prompt }), await pool(engine, { prompt })];
    expect(first.finish?.usage.cachedPromptTokens).toBe(0);
    expect(second.finish?.usage.cachedPromptTokens).toBe(32);
    expect(bitsOf(second.vector).equals(bitsOf(first.vector))).toBe(true);
  });

  it('refuses a prompt that is too long', async () => {
    const prompt = tokens(Array(513).fill(10));
    await expect(pool(engine, { prompt })).rejects.toMatchObject({ code: 'context_length_exceeded' });
  });
});
