/** The default model and the demo adapters against the float32 oracle, test/fixtures/smollm2-q4_1.json. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChatMessage, Engine, TokenLogprobs } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Answer,
  addAdapter,
  ask,
  DEMO_ADAPTERS,
  FIXTURES,
  startOracleEngine,
  tokens,
} from '../support/engine.ts';
import { distance } from './expected.ts';

interface OracleCase {
  readonly adapter: string | null;
  readonly messages: readonly ChatMessage[];
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
  readonly first_top20: readonly (readonly [id: number, logprob: number])[];
  readonly greedy_logprobs: readonly number[];
}

const { cases } = JSON.parse(readFileSync(join(FIXTURES, 'smollm2-q4_1.json'), 'utf8')) as {
  cases: readonly OracleCase[];
};
const ADAPTERS = [...new Set(cases.flatMap(({ adapter }) => adapter ?? []))];

/** Greedy choices this near (in natural log) may fall either way. */
const TIE = 0.05;
/** Some ten thousand tokens with float32 weights, after the model was perhaps fetched. */
const PATIENCE_MS = 600_000;

const engines: Engine[] = [];
const digests = new Map<string | null, string | null>([[null, null]]);

async function start(options: Parameters<typeof startOracleEngine>[0]): Promise<Engine> {
  const engine = await startOracleEngine(options);
  engines.push(engine);
  for (const name of ADAPTERS) digests.set(name, await addAdapter(engine, join(DEMO_ADAPTERS, name)));
  return engine;
}
afterAll(async () => {
  await Promise.all(engines.map((engine) => engine.close()));
});

/** What the engine says of each greedy token of the oracle, given the oracle's tokens before it. */
async function teacherForced(engine: Engine, one: OracleCase): Promise<TokenLogprobs[]> {
  const answer = await ask(engine, {
    prompt: tokens([...one.prompt_ids, ...one.greedy_ids]),
    adapter: digests.get(one.adapter) ?? null,
    sampling: { maxTokens: 1, promptLogprobs: 2 },
  });
  expect(answer.error).toBeNull();
  return answer.promptLogprobs.slice(one.prompt_ids.length).map((token) => token!);
}

/** Mean absolute logprob error over all tokens of all cases, and of each variant for the test's message. */
function meanErrors(scored: readonly TokenLogprobs[][]): { all: number; byVariant: Record<string, string> } {
  const byVariant: Record<string, string> = {};
  for (const name of [null, ...ADAPTERS]) {
    const [actual, expected] = series(scored, (one) => one.adapter === name);
    byVariant[name ?? 'base'] = distance(actual, expected).mean.toFixed(4);
  }
  const [actual, expected] = series(scored, () => true);
  return { all: distance(actual, expected).mean, byVariant };
}

function series(
  scored: readonly TokenLogprobs[][],
  keep: (one: OracleCase) => boolean,
): [number[], number[]] {
  const kept = cases.flatMap((one, index) => (keep(one) ? [{ one, tokens: scored[index]! }] : []));
  return [
    kept.flatMap((entry) => entry.tokens.map(({ logprob }) => logprob)),
    kept.flatMap((entry) => entry.one.greedy_logprobs),
  ];
}

function expectOracleTokens(scored: readonly TokenLogprobs[][]): void {
  for (const [index, one] of cases.entries()) {
    for (const [position, token] of scored[index]!.entries()) {
      if (gap(token) > TIE) expect(token.top[0]!.id).toBe(one.greedy_ids[position]);
    }
  }
}

const gap = (token: TokenLogprobs) => token.top[0]!.logprob - token.top[1]!.logprob;

describe('float32 weights', () => {
  let engine: Engine;
  let scored: TokenLogprobs[][];
  let answers: Answer[];
  beforeAll(async () => {
    engine = await start({ weights: 'f32' });
    scored = await Promise.all(cases.map((one) => teacherForced(engine, one)));
    answers = await Promise.all(
      cases.map(({ messages, adapter }) =>
        ask(engine, {
          prompt: { kind: 'chat', messages },
          adapter: digests.get(adapter) ?? null,
          sampling: { maxTokens: 24, logprobs: 20 },
        }),
      ),
    );
  }, PATIENCE_MS);

  it('renders and tokenizes every chat to exactly the oracle’s ids', async () => {
    for (const [index, { messages, prompt_ids }] of cases.entries()) {
      expect(await engine.tokenize({ kind: 'chat', messages })).toEqual(prompt_ids);
      expect(answers[index]!.promptIds).toEqual(prompt_ids);
    }
  });

  it('has a mean absolute logprob error of at most 0.005', () => {
    const { all, byVariant } = meanErrors(scored);
    expect(all, JSON.stringify(byVariant)).toBeLessThanOrEqual(0.005);
  });

  it('chooses every token that the oracle chose, ties aside', () => {
    expectOracleTokens(scored);
  });

  it('has the oracle’s best first tokens', () => {
    const errors = cases.flatMap(({ first_top20 }, index) => {
      const ours = new Map(answers[index]!.logprobs[0]!.top.map(({ id, logprob }) => [id, logprob]));
      // The last few may have changed places with the twenty-first.
      const near = first_top20.slice(0, 15);
      return near.map(([id, logprob]) => Math.abs((ours.get(id) ?? Number.NEGATIVE_INFINITY) - logprob));
    });
    expect(errors.reduce((sum, error) => sum + error, 0) / errors.length).toBeLessThan(0.01);
  });

  it('generates the oracle’s answers from the chats, up to a tie', () => {
    for (const [index, one] of cases.entries()) {
      const tie = scored[index]!.findIndex((token) => gap(token) <= TIE);
      const certain = tie === -1 ? one.greedy_ids.length : tie;
      expect(answers[index]!.ids.slice(0, certain)).toEqual(one.greedy_ids.slice(0, certain));
    }
  });
});

describe('int8 weights', () => {
  it('has a mean absolute logprob error of at most 0.06', { timeout: PATIENCE_MS }, async () => {
    const engine = await start({ weights: 'int8' });
    const scored = await Promise.all(cases.map((one) => teacherForced(engine, one)));
    const { all, byVariant } = meanErrors(scored);
    expect(all, JSON.stringify(byVariant)).toBeLessThanOrEqual(0.06);
  });
});

describe('float32 weights and int8 adapters', () => {
  let scored: TokenLogprobs[][];
  beforeAll(async () => {
    const engine = await start({ weights: 'f32', loraDtype: 'int8' });
    scored = await Promise.all(cases.map((one) => teacherForced(engine, one)));
  }, PATIENCE_MS);

  it('has a logprob error of at most 0.002 in the mean and 0.05 anywhere', () => {
    const { byVariant } = meanErrors(scored);
    const { mean, max } = distance(...series(scored, () => true));
    expect(mean, JSON.stringify(byVariant)).toBeLessThanOrEqual(0.002);
    expect(max).toBeLessThanOrEqual(0.05);
  });

  it('chooses every token that the oracle chose, ties aside', () => {
    expectOracleTokens(scored);
  });
});

describe('float32 weights and int8 keys and values', () => {
  let scored: TokenLogprobs[][];
  beforeAll(async () => {
    const engine = await start({ weights: 'f32', kvCacheDtype: 'int8' });
    scored = await Promise.all(cases.map((one) => teacherForced(engine, one)));
  }, PATIENCE_MS);

  it('has a logprob error of at most 0.02 in the mean and 0.8 anywhere', () => {
    const { byVariant } = meanErrors(scored);
    const { mean, max } = distance(...series(scored, () => true));
    expect(mean, JSON.stringify(byVariant)).toBeLessThanOrEqual(0.02);
    expect(max).toBeLessThanOrEqual(0.8);
  });

  it('chooses at least 98 of 100 tokens as the oracle did', () => {
    const chosen = scored.flat().map((token) => token.top[0]!.id);
    const oracle = cases.flatMap(({ greedy_ids }) => greedy_ids);
    expect(chosen).toHaveLength(oracle.length);
    const same = chosen.filter((id, index) => id === oracle[index]).length;
    expect(same / oracle.length).toBeGreaterThanOrEqual(0.98);
  });
});
