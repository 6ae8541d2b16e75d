/** Adapters mixed by weights, against one adapter that has all of their ranks. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAdapter } from '@polylora/adapters-store';
import { type Engine, LORA_MODULES, mixAdapters, projectionShape } from '@polylora/engine';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addAdapter, ask, shapeOf, startTinyEngine, tokens } from '../support/engine.ts';
import { f32, safetensors, type Tensors } from '../support/safetensors.ts';

const RANKS = [3, 5];
/** Powers of two, so that it makes no difference whether they are in B or beside it. */
const WEIGHTS = [0.5, -2];
const PROMPT = tokens(Array.from({ length: 40 }, (_, index) => 7 + ((index * 31) % 200)));

let root: string;
let engine: Engine;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'polylora-mixture-'));
  engine = await startTinyEngine('llama-tied');
});
afterAll(async () => {
  await engine.close();
  await rm(root, { recursive: true });
});

/** A value of A or B that a half float holds exactly. */
function value(adapter: number, layer: number, module: number, index: number): number {
  const mixed = Math.imul(index * 8 + adapter * 4 + layer * 2 + module + 1, 0x9e3779b1) >>> 20;
  return (mixed - 2048) / 65536;
}

/** Writes the ranks of some adapters as one; `weights` are in B. */
async function write(name: string, adapters: readonly number[], weights: readonly number[]): Promise<string> {
  const tensors: Tensors = {};
  for (let layer = 0; layer < engine.model.layerCount; layer++) {
    for (const [number, module] of LORA_MODULES.entries()) {
      const { in: inputs, out: outputs } = projectionShape(engine.model, module);
      const ranks = adapters.flatMap((adapter) =>
        Array.from({ length: RANKS[adapter]! }, (_, rank) => ({ adapter, rank })),
      );
      const block = number < 4 ? 'self_attn' : 'mlp';
      const prefix = `base_model.model.model.layers.${layer}.${block}.${module}`;
      tensors[`${prefix}.lora_A.weight`] = f32([ranks.length, inputs], (index) => {
        const { adapter, rank } = ranks[Math.floor(index / inputs)]!;
        return value(adapter, layer, number, rank * inputs + (index % inputs));
      });
      tensors[`${prefix}.lora_B.weight`] = f32([outputs, ranks.length], (index) => {
        const { adapter, rank } = ranks[index % ranks.length]!;
        const own = 100_000 + rank * outputs + Math.floor(index / ranks.length);
        return weights[adapters.indexOf(adapter)]! * value(adapter, layer, number, own);
      });
    }
  }
  const folder = join(root, name);
  const rank = adapters.reduce((sum, adapter) => sum + RANKS[adapter]!, 0);
  await mkdir(folder);
  const config = { peft_type: 'LORA', r: rank, lora_alpha: rank * 8, target_modules: LORA_MODULES };
  await writeFile(join(folder, 'adapter_config.json'), JSON.stringify(config));
  await writeFile(join(folder, 'adapter_model.safetensors'), safetensors(tensors));
  return folder;
}

const run = (adapter: string | null) =>
  ask(engine, {
    prompt: PROMPT,
    adapter,
    sampling: { maxTokens: 12, ignoreEos: true, logprobs: 2, promptLogprobs: 0 },
  });

it('gives the bits of one adapter with the ranks of all', async () => {
  const parts = await Promise.all(
    RANKS.map(async (_, adapter) => {
      const folder = await write(`part-${adapter}`, [adapter], [1]);
      return {
        adapter,
        weights: await readAdapter(folder, shapeOf(engine.model)),
        weight: WEIGHTS[adapter]!,
      };
    }),
  );
  const byDigest = new Map(parts.map(({ weights }) => [weights.digest, weights]));
  const mixture = await mixAdapters(
    parts.map(({ weights, weight }) => ({ digest: weights.digest, weight })),
    async (digest) => byDigest.get(digest)!,
  );
  await engine.addAdapter(mixture);
  const ordered = parts.toSorted((a, b) => (a.weights.digest < b.weights.digest ? -1 : 1));
  const folder = await write(
    'whole',
    ordered.map(({ adapter }) => adapter),
    ordered.map(({ weight }) => weight),
  );
  const whole = await run(await addAdapter(engine, folder));
  expect(whole.error).toBeNull();
  expect(await run(mixture.digest)).toEqual(whole);

  const alone = await run(await addAdapter(engine, join(root, 'part-0')));
  expect(alone.logprobs).not.toEqual(whole.logprobs);
  // Together with its parts and the base, in one batch.
  const [again, part] = await Promise.all([run(mixture.digest), run(parts[0]!.weights.digest), run(null)]);
  expect(again).toEqual(whole);
  expect(part).toEqual(alone);
});
