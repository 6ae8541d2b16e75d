/** Asks an engine what the reference was asked, and compares the answers. */
import type { Engine, TokenLogprobs } from '@polylora/engine';
import { expect } from 'vitest';
import { type Answer, ask, tokens } from '../support/engine.ts';
import { distance, type ExpectedCase } from './expected.ts';

/**
 * Keys and values are f16 in the page pool. That alone moves the tiny models' peaky logprobs by up to 0.02, so the tight
 * bound is against the same reference with f16 keys and values. Even there, a value that rounds the other way moves a
 * logprob: noise of 2e-7 on the reference's own keys and values moves single ones by 0.004.
 */
const CLOSE_MEAN = 0.0005;
const CLOSE_MAX = 0.005;
const F16_KV_MEAN = 0.003;
const F16_KV_MAX = 0.03;
/** An emulation of int8 weights and activations in groups gives 0.04 to 0.06 on these models, wide on purpose. */
export const INT8_MEAN = 0.1;

/** Scores a case's prompt and continues it greedily, all positions with `top` alternatives. */
export function run(engine: Engine, adapter: string | null, expected: ExpectedCase): Promise<Answer> {
  const top = expected.top[0]!.length;
  const maxTokens = expected.greedy_ids.length;
  return ask(engine, {
    prompt: tokens(expected.prompt),
    adapter,
    sampling: { maxTokens, ignoreEos: true, logprobs: top, promptLogprobs: top },
  });
}

/** Scores the case's prompt followed by its greedy tokens. */
export async function score(
  engine: Engine,
  adapter: string | null,
  expected: ExpectedCase,
): Promise<number[]> {
  const answer = await ask(engine, {
    prompt: tokens([...expected.prompt, ...expected.greedy_ids]),
    adapter,
    sampling: { maxTokens: 1, ignoreEos: true, promptLogprobs: 0 },
  });
  expect(answer.error).toBeNull();
  return answer.promptLogprobs.slice(1).map((token) => token!.logprob);
}

/** Fails unless the answer of `run` has the reference's tokens, and its logprobs within what the engine's types allow. */
export function expectAsReference(answer: Answer, one: ExpectedCase): void {
  expect(answer.error).toBeNull();
  expect(answer.promptIds).toEqual(one.prompt);
  expect(answer.ids).toEqual(one.greedy_ids);
  expect(answer.finish?.reason).toBe('length');
  expect(answer.finish?.usage).toMatchObject({
    promptTokens: one.prompt.length,
    completionTokens: one.greedy_ids.length,
  });

  expect(answer.promptLogprobs[0]).toBeNull();
  const scored = [...answer.promptLogprobs.slice(1), ...answer.logprobs];
  expect(scored.map((token) => token!.id)).toEqual([...one.prompt.slice(1), ...one.greedy_ids]);
  const logprobs = scored.map((token) => token!.logprob);
  const close = distance(logprobs, one.f16_kv_logprobs);
  expect(close.mean).toBeLessThan(CLOSE_MEAN);
  expect(close.max).toBeLessThan(CLOSE_MAX);
  const error = distance(logprobs, [...one.prompt_logprobs, ...one.greedy_logprobs]);
  expect(error.mean).toBeLessThan(F16_KV_MEAN);
  expect(error.max).toBeLessThan(F16_KV_MAX);
  for (const [position, top] of one.top.entries()) expectTop(scored[position]!, top);
}

function expectTop(actual: TokenLogprobs, expected: ExpectedCase['top'][number]): void {
  const logprobOf = new Map(actual.top.map(({ id, logprob }) => [id, logprob]));
  const last = Math.min(...logprobOf.values());
  expect(logprobOf.size).toBe(expected.length);
  for (const [id, logprob] of expected) {
    const ours = logprobOf.get(id);
    // Tokens at the list's end may have changed places with one just below it.
    if (ours === undefined) expect(logprob).toBeLessThan(last + F16_KV_MAX);
    else expect(Math.abs(ours - logprob)).toBeLessThan(F16_KV_MAX);
  }
}
