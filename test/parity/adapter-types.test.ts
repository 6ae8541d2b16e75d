/** Every adapter type on two tiny models, against float32 transformers and PEFT, and beside each other. */
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { floatTensors, writeAltered } from '../support/altered-adapter.ts';
import {
  type Answer,
  type Ask,
  addAdapter,
  ask,
  FIXTURES,
  startTinyEngine,
  tokens,
} from '../support/engine.ts';
import { expectSameBits } from '../support/same-bits.ts';
import { expectAsReference, INT8_MEAN, run, score } from './compare.ts';
import { distance, readExpectedTypes } from './expected.ts';

const MODELS = ['llama-tied', 'qwen2'];

const typesFolder = (model: string) => join(FIXTURES, 'models', model, 'adapter-types');
const typesOf = (model: string) => readdirSync(typesFolder(model)).sort();

async function addTypes(engine: Engine, model: string): Promise<ReadonlyMap<string, string>> {
  const digests = new Map<string, string>();
  for (const name of typesOf(model)) {
    digests.set(name, await addAdapter(engine, join(typesFolder(model), name)));
  }
  return digests;
}

/** The same weights twice. GGUF has the rows of queries and keys in an order of its own, an adapter's outputs have not. */
const FILES = [
  { file: 'llama-tied', model: 'llama-tied' },
  { file: 'gguf/llama-f32.gguf', model: 'llama-tied' },
  { file: 'qwen2', model: 'qwen2' },
  { file: 'gguf/qwen2-f16.gguf', model: 'qwen2' },
];

describe.each(FILES)('adapters on $file with float32 weights', ({ file, model }) => {
  let engine: Engine;
  beforeAll(async () => {
    // 24 tokens a step: prompts of 37 are prefilled in chunks that end inside a block.
    engine = await startTinyEngine(file, { maxBatchTokens: 24 });
  });
  afterAll(() => engine?.close());

  const expected = readExpectedTypes(model);
  it('have a reference each', () => {
    expect([...new Set(expected.map(({ adapter }) => adapter))].sort()).toEqual(typesOf(model));
  });

  it.each(expected.map((one) => ({ one, name: one.adapter!, length: one.prompt.length })))(
    '$name, prompt of $length tokens',
    async ({ one, name }) => {
      const digest = await addAdapter(engine, join(typesFolder(model), name));
      expectAsReference(await run(engine, digest, one), one);
    },
  );
});

describe.each(MODELS)('adapters on %s with int8 weights', (model) => {
  it('stay near the float32 reference', async () => {
    const engine = await startTinyEngine(model, { weights: 'int8' });
    try {
      const digests = await addTypes(engine, model);
      for (const one of readExpectedTypes(model)) {
        const reference = [...one.prompt_logprobs, ...one.greedy_logprobs];
        const scored = await score(engine, digests.get(one.adapter!)!, one);
        expect(distance(scored, reference).mean, one.adapter!).toBeLessThan(INT8_MEAN);
      }
    } finally {
      await engine.close();
    }
  });
});

const KINDS = MODELS.flatMap((model) => [
  { model, weights: 'f32', loraDtype: 'f16' } as const,
  { model, weights: 'int8', loraDtype: 'f16' } as const,
  { model, weights: 'int8', loraDtype: 'int8' } as const,
]);
type Options = Parameters<typeof startTinyEngine>[1];

/** RELIABILITY 1 and 2. */
describe.each(KINDS)(
  'all types beside each other on $model, $weights weights, $loraDtype adapters',
  (kind) => {
    const { model, weights, loraDtype } = kind;
    let folder: string;
    let alone: readonly Answer[];
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'polylora-types-'));
      await withEngine({}, async (engine, asks) => {
        const answers: Answer[] = [];
        for (const one of asks) answers.push(await ask(engine, one));
        for (const { error, logprobs } of answers) {
          expect(error).toBeNull();
          expect(logprobs.every(({ logprob }) => Number.isFinite(logprob))).toBe(true);
        }
        alone = answers;
      });
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    /** Two requests each for the base, a plain LoRA adapter and every type: prompts of 3 to 101 tokens, greedy and sampled. */
    async function requests(engine: Engine): Promise<Ask[]> {
      const lora = await addAdapter(engine, join(FIXTURES, 'models', model, 'adapter'));
      const adapters = [null, lora, ...(await addTypes(engine, model)).values()];
      return Array.from({ length: 2 * adapters.length }, (_, index) => ({
        prompt: tokens(prompt(3 + ((index * 37) % 99), index)),
        adapter: adapters[index % adapters.length]!,
        sampling: {
          temperature: index % 2 === 0 ? 0 : 1.1,
          seed: index,
          maxTokens: 6 + (index % 7),
          ignoreEos: true,
          logprobs: 2,
          promptLogprobs: 1,
        },
      }));
    }

    async function withEngine(
      options: Options,
      use: (engine: Engine, asks: readonly Ask[]) => Promise<void>,
    ): Promise<void> {
      const engine = await startTinyEngine(model, { weights, loraDtype, ...options });
      try {
        await use(engine, await requests(engine));
      } finally {
        await engine.close();
      }
    }

    async function expectAsAlone(
      engine: Engine,
      asks: readonly Ask[],
      indices: readonly number[],
    ): Promise<void> {
      const answers = await Promise.all(indices.map((index) => ask(engine, asks[index]!)));
      for (const [place, index] of indices.entries()) {
        expectSameBits(answers[place]!, alone[index]!, `request ${index}`);
      }
    }
    const all = (asks: readonly Ask[]) => [...asks.keys()];

    it.each([512, 33, 16, 7, 1])(
      'have the bits they have alone, at most %i tokens a step',
      async (maxBatchTokens) => {
        await withEngine({ maxBatchTokens }, (engine, asks) => expectAsAlone(engine, asks, all(asks)));
      },
    );

    it.each([1, 3])('have the bits they have alone, with %i threads', async (threads) => {
      await withEngine({ threads }, (engine, asks) => expectAsAlone(engine, asks, all(asks).reverse()));
    });

    it('have the bits they have alone, in batches of 2 to 8', async () => {
      await withEngine({}, async (engine, asks) => {
        for (const size of [2, 3, 5, 8]) {
          // Steps that have no divisor in common with the number of requests bring other types together each time.
          const indices = Array.from({ length: size }, (_, place) => (size + place * 7) % asks.length);
          await expectAsAlone(engine, asks, indices);
        }
      });
    });

    it.each(typesOf(model))(
      'a neighbour of type %s with huge numbers changes no other’s bits',
      async (name) => {
        const directory = join(folder, `${name}-huge`);
        await writeAltered(join(typesFolder(model), name), directory, null, 'huge', 'all');
        await withEngine({ maxBatchTokens: 33 }, async (engine, asks) => {
          if (name === 'vera') {
            // Its factors are multiplied at load, and their product is more than half precision holds.
            const refused = { code: 'adapter_values_invalid' };
            await expect(addAdapter(engine, directory)).rejects.toMatchObject(refused);
            return;
          }
          const bad = await addAdapter(engine, directory);
          const badAsk: Ask = { prompt: tokens(prompt(40, 1)), adapter: bad, sampling: { maxTokens: 4 } };
          const before = ask(engine, badAsk);
          await expectAsAlone(engine, asks, all(asks));
          const answer = await before;
          // Where keys and values are changed they overflow; after the other projections a norm may bring numbers back.
          if (answer.error === null) expect(OUTSIDE_OF_ATTENTION).toContain(`${model} ${name}`);
          else expect(answer.error.code).toBe('numerical_error');
        });
      },
    );
  },
);

/** Types whose fixtures leave keys and values as they are. */
const OUTSIDE_OF_ATTENTION = ['llama-tied road-4', 'qwen2 road-1'];

describe.each(MODELS)('adapters on %s with a value that is NaN', (model) => {
  let engine: Engine;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'polylora-nan-'));
    engine = await startTinyEngine(model);
  });
  afterAll(async () => {
    await engine?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it.each(typesOf(model))('%s is refused with the tensor named', async (name) => {
    const directory = join(typesFolder(model), name);
    for (const [index, tensor] of (await floatTensors(directory)).entries()) {
      const altered = join(folder, `${name}-${index}`);
      await writeAltered(directory, altered, tensor, 'nan', 'last');
      await expect(addAdapter(engine, altered)).rejects.toMatchObject({
        code: 'adapter_values_invalid',
        issues: [{ where: tensor, message: expect.stringContaining('NaN') as string }],
      });
    }
  });
});

function prompt(length: number, seed: number): number[] {
  return Array.from({ length }, (_, position) => 3 + ((position * 31 + seed * 17 + 5) % 290));
}
