/** A full fine-tune, compressed and served as an adapter of its base, against the fine-tune served itself. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compressFineTune, type Engine } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changedModel, noise } from '../support/changed-model.ts';
import { addAdapter, ask, FIXTURES, startTinyEngine, tokens } from '../support/engine.ts';
import { distance, readExpected } from './expected.ts';

const MODEL = 'llama-tied';
const BASE = join(FIXTURES, 'models', MODEL);
const RANK = 2;
/** Of what a fine-tune changes: a product of that rank, large; two of four inputs each, in few levels, smaller; and norms. */
const LARGE = 0.2;
const SMALL = 0.05;
const NORMS = 0.3;
const LEVELS = [-110, -68, -35, 35, 68, 110];

describe('a compressed fine-tune', () => {
  let root: string;
  let tuned: Engine;
  let base: Engine;
  let delta: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'polylora-deltas-'));
    const model = await changedModel(BASE, join(root, 'tuned'), fineTune);
    const folder = join(root, 'delta');
    const report = await compressFineTune({
      tuned: model,
      base: BASE,
      folder,
      home: join(root, 'home'),
      size: { rank: RANK },
      keepBaseEmbeddings: false,
      keepBaseBiases: false,
    });
    expect(report.relativeError).toBeLessThan(0.03);
    tuned = await startTinyEngine(MODEL, { model });
    base = await startTinyEngine(MODEL);
    delta = await addAdapter(base, folder);
  });
  afterAll(async () => {
    await tuned.close();
    await base.close();
    await rm(root, { recursive: true });
  });

  const logprobs = async (engine: Engine, adapter: string | null, ids: readonly number[]) => {
    const sampling = { maxTokens: 1, promptLogprobs: 0 };
    const answer = await ask(engine, { prompt: tokens(ids), adapter, sampling });
    expect(answer.error).toBeNull();
    return answer.promptLogprobs.slice(1).map((token) => token?.logprob ?? Number.NaN);
  };
  const prompts = readExpected(MODEL).cases.map(({ prompt, greedy_ids }) => [...prompt, ...greedy_ids]);

  it('is served as near to the fine-tune as it was compressed', async () => {
    for (const prompt of prompts) {
      const exact = await logprobs(tuned, null, prompt);
      const without = distance(await logprobs(base, null, prompt), exact);
      const { mean, max } = distance(await logprobs(base, delta, prompt), exact);
      expect(without.mean).toBeGreaterThan(0.5);
      expect(mean).toBeLessThan(0.03 * without.mean);
      expect(max).toBeLessThan(0.2);
    }
  });

  it('has the same bits beside other requests', async () => {
    const alone: number[][] = [];
    for (const prompt of prompts) alone.push(await logprobs(base, delta, prompt));
    const together = prompts.flatMap((prompt) => [
      logprobs(base, delta, prompt),
      logprobs(base, null, prompt),
    ]);
    const all = await Promise.all(together);
    expect(all.filter((_, index) => index % 2 === 0)).toEqual(alone);
  });
});

function fineTune(name: string, values: Float32Array, columns: number): void {
  if (name.endsWith('layernorm.weight')) {
    values.set(values.map((value, index) => value * (1 + NORMS * noise(1, index))));
  }
  if (!name.includes('_proj')) return;
  const seed = [...name].reduce((sum, character) => sum + character.charCodeAt(0), 0);
  const size = Math.hypot(...values) / Math.sqrt(values.length);
  for (let index = 0; index < values.length; index++) {
    const [row, column] = [Math.floor(index / columns), index % columns];
    for (let rank = 0; rank < RANK; rank++) {
      values[index]! += 3 * LARGE * size * noise(seed + rank, row) * noise(seed + 10 + rank, column);
    }
    const group = Math.floor(index / 4);
    const first = Math.floor(1.5 * (1 + noise(seed + 20, group)));
    const second = first + 1 + Math.floor(0.5 * (3 - first) * (1 + noise(seed + 30, group)));
    if (column % 4 === first || column % 4 === second) {
      const level = LEVELS[Math.floor(3 * (1 + noise(seed + 40, index)))] ?? 0;
      values[index]! += SMALL * size * (level / 68);
    }
  }
}
