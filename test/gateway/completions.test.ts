import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Gateway,
  ORACLE,
  oracleCase,
  oracleModel,
  START_MILLISECONDS,
  startGateway,
} from '../support/gateway.ts';

const TEXT = 'The capital of France is';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway({ args: await oracleModel() });
}, START_MILLISECONDS);
afterAll(() => gateway?.stop());

type Fields = Partial<OpenAI.CompletionCreateParamsNonStreaming>;

function complete(prompt: OpenAI.CompletionCreateParams['prompt'], fields: Fields = {}) {
  return gateway.client.completions.create({
    ...{ model: 'base', prompt, temperature: 0, max_tokens: 8, ...fields },
    stream: false,
  });
}

describe('a completion', () => {
  it('continues a text', async () => {
    const { id, object, choices, usage } = await complete(TEXT);
    expect([id.startsWith('cmpl-'), object]).toEqual([true, 'text_completion']);
    expect(choices).toHaveLength(1);
    expect(choices[0]).toMatchObject({ index: 0, finish_reason: 'length', logprobs: null });
    expect(choices[0]?.text).toContain('Paris');
    expect(usage).toMatchObject({ completion_tokens: 8 });
  });

  it('stops at 16 tokens by default', async () => {
    const { usage } = await gateway.client.completions.create({
      model: 'base',
      prompt: TEXT,
      temperature: 0,
    });
    expect(usage?.completion_tokens).toBeLessThanOrEqual(16);
  });

  it('continues token ids, for an adapter too', async () => {
    const { prompt_ids, greedy_text } = oracleCase('text-to-sql', 'How many orders are there?');
    const { choices, usage } = await complete(prompt_ids, { model: 'text-to-sql', max_tokens: 30 });
    expect(choices[0]?.text).toBe(greedy_text.replace('<|im_end|>', ''));
    expect(choices[0]?.finish_reason).toBe('stop');
    expect(usage?.prompt_tokens).toBe(prompt_ids.length);
  });

  it('gives the likeliest of several answers, and counts the tokens of all', async () => {
    const sampled = { temperature: 1, seed: 7, logprobs: 0 } as const;
    const all = await complete(TEXT, { ...sampled, n: 4 });
    const mean = ({ logprobs }: OpenAI.CompletionChoice) => {
      const values = logprobs?.token_logprobs ?? [];
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    };
    const ranked = all.choices.toSorted((a, b) => mean(b) - mean(a));
    const best = await complete(TEXT, { ...sampled, n: 2, best_of: 4 });
    expect(best.choices.map(({ text }) => text)).toEqual(ranked.slice(0, 2).map(({ text }) => text));
    expect(best.choices.map(({ index }) => index)).toEqual([0, 1]);
    expect(best.usage).toMatchObject({ completion_tokens: all.usage?.completion_tokens });
    const { logprobs: _, ...unscored } = sampled;
    const [only] = (await complete(TEXT, { ...unscored, best_of: 4 })).choices;
    expect([only?.text, only?.logprobs]).toEqual([ranked[0]?.text, null]);
  });

  it('answers several prompts in order, n times each', async () => {
    const prompts = [TEXT, 'Two plus two is'];
    const alone = await Promise.all(prompts.map((prompt) => complete(prompt)));
    const { choices, usage } = await complete(prompts, { n: 2 });
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    const [first, second] = alone.map(({ choices: [choice] }) => choice?.text);
    expect(choices.map(({ text }) => text)).toEqual([first, first, second, second]);
    const sum = (of: 'prompt_tokens' | 'completion_tokens') =>
      alone.reduce((total, answer) => total + (answer.usage?.[of] ?? 0), 0);
    expect(usage).toMatchObject({
      prompt_tokens: sum('prompt_tokens'),
      completion_tokens: 2 * sum('completion_tokens'),
    });
  });

  it('answers several prompts of token ids', async () => {
    const ids = ORACLE.slice(0, 2).map(({ prompt_ids }) => prompt_ids);
    expect((await complete(ids)).choices).toHaveLength(2);
  });

  it('echoes its prompt', async () => {
    const { choices } = await complete(TEXT, { echo: true });
    expect(choices[0]?.text).toBe(TEXT + (await complete(TEXT)).choices[0]?.text);
  });

  it('gives logprobs in the legacy shape, of the echoed prompt too', async () => {
    const { choices, usage } = await complete(TEXT, { echo: true, logprobs: 2, max_tokens: 3 });
    const { text, logprobs } = choices[0] ?? {};
    const { tokens = [], token_logprobs = [], top_logprobs = [], text_offset = [] } = logprobs ?? {};
    expect(tokens.join('')).toBe(text);
    expect(tokens).toHaveLength(usage?.total_tokens ?? 0);
    expect([token_logprobs[0], top_logprobs[0]]).toEqual([null, null]);
    for (const [index, token] of tokens.entries()) {
      expect(text?.slice(text_offset[index]).startsWith(token)).toBe(true);
      if (index === 0) continue;
      expect(token_logprobs[index]).toBeLessThanOrEqual(0);
      expect(top_logprobs[index]).toHaveProperty([token], token_logprobs[index]);
    }
  });

  it('scores a text without continuing it, close to float32', async () => {
    const { prompt_ids, greedy_ids, greedy_logprobs } = oracleCase(null, 'How many orders are there?');
    const { choices, usage } = await complete([...prompt_ids, ...greedy_ids], {
      echo: true,
      logprobs: 0,
      max_tokens: 0,
    });
    expect(usage?.completion_tokens).toBe(0);
    const scores = choices[0]?.logprobs?.token_logprobs?.slice(-greedy_ids.length) ?? [];
    expect(scores).toHaveLength(greedy_ids.length);
    const errors = scores.map((score, index) => Math.abs((score ?? 0) - (greedy_logprobs[index] ?? 0)));
    expect(errors.reduce((sum, error) => sum + error, 0) / errors.length).toBeLessThan(0.1);
  });

  it('streams the same', async () => {
    const fields = { n: 2, temperature: 1, seed: 5, logprobs: 1, echo: true };
    const whole = await complete(TEXT, fields);
    const stream = await gateway.client.completions.create({
      ...{ model: 'base', prompt: TEXT, max_tokens: 8, ...fields },
      stream: true,
      stream_options: { include_usage: true },
    });
    const pieces: OpenAI.Completion[] = [];
    for await (const piece of stream) pieces.push(piece);
    for (const { index, text, logprobs, finish_reason } of whole.choices) {
      const own = pieces.flatMap(({ choices }) => choices.filter((choice) => choice.index === index));
      expect(own.map((choice) => choice.text).join('')).toBe(text);
      expect(own.flatMap((choice) => choice.logprobs?.token_logprobs ?? [])).toEqual(
        logprobs?.token_logprobs,
      );
      expect(own.flatMap((choice) => choice.logprobs?.text_offset ?? [])).toEqual(logprobs?.text_offset);
      expect(own.at(-1)?.finish_reason).toBe(finish_reason);
    }
    expect(pieces.at(-1)?.usage).toEqual(whole.usage);
    expect(new Set(pieces.map(({ id }) => id)).size).toBe(1);
  });

  it.each([[{ suffix: 'x' }, 'suffix']])('refuses %j by name', async (fields, param) => {
    await expect(complete(TEXT, fields)).rejects.toMatchObject({ code: 'unsupported_parameter', param });
  });

  it('refuses token ids outside the vocabulary', async () => {
    const refused = complete([1, 10_000_000]);
    await expect(refused).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    await expect(refused).rejects.toMatchObject({ param: 'prompt[1]' });
  });
});
