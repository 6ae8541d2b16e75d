import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  answerOf,
  type Gateway,
  oracleCase,
  oracleModel,
  START_MILLISECONDS,
  startGateway,
  until,
} from '../support/gateway.ts';

const CAPITAL = 'What is the capital of France?';
const CHARGED = 'I was charged twice for my subscription. Please help.';
const ORDERS = 'How many orders are there?';
const BEES =
  'Write a headline: A report explains how bees have a long and surprising history. Many readers asked about it.';

let gateway: Gateway;
let client: OpenAI;
beforeAll(async () => {
  gateway = await startGateway({ args: await oracleModel() });
  client = gateway.client;
}, START_MILLISECONDS);
afterAll(() => gateway?.stop());

type Fields = Partial<OpenAI.ChatCompletionCreateParamsNonStreaming>;

function ask(model: string, content: string, fields: Fields = {}) {
  const messages = [{ role: 'user' as const, content }];
  return client.chat.completions.create({ model, messages, temperature: 0, max_tokens: 24, ...fields });
}

function askStreamed(model: string, content: string, fields: Fields = {}) {
  const messages = [{ role: 'user' as const, content }];
  return client.chat.completions.create({
    ...{ model, messages, temperature: 0, max_tokens: 24, ...fields },
    stream: true,
    stream_options: { include_usage: true },
  });
}

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

describe('a chat completion', () => {
  it('is the base model’s answer, with its usage', async () => {
    const reference = oracleCase(null, CAPITAL);
    const answer = await ask('base', CAPITAL);
    expect(answer).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-/),
      object: 'chat.completion',
      created: expect.any(Number),
      model: expect.stringContaining('SmolLM2'),
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: answerOf(reference), refusal: null },
          finish_reason: 'stop',
          logprobs: null,
        },
      ],
      usage: {
        prompt_tokens: reference.prompt_ids.length,
        completion_tokens: reference.greedy_ids.length,
        total_tokens: reference.prompt_ids.length + reference.greedy_ids.length,
        prompt_tokens_details: { cached_tokens: expect.any(Number) },
      },
    });
  });

  it.each([
    ['support-triage', CHARGED],
    ['text-to-sql', ORDERS],
    ['pirate', CHARGED],
    ['headline', BEES],
  ])('speaks as the adapter %s', async (adapter, content) => {
    const { choices, model } = await ask(adapter, content);
    expect(model).toBe(adapter);
    expect(choices[0]?.message.content).toBe(answerOf(oracleCase(adapter, content)));
  });

  it('ends at the limit of tokens', async () => {
    const { choices, usage } = await ask('base', CAPITAL, { max_tokens: null, max_completion_tokens: 3 });
    expect(choices[0]).toMatchObject({ message: { content: 'The capital of' }, finish_reason: 'length' });
    expect(usage?.completion_tokens).toBe(3);
  });

  it('ends before a stop string, across token borders, and says which', async () => {
    const { choices } = await ask('base', CAPITAL, { stop: ['nowhere', 'of Fra'] });
    expect(choices[0]).toMatchObject({
      message: { content: 'The capital ' },
      finish_reason: 'stop',
      stop_reason: 'of Fra',
    });
  });

  it('takes text parts for its content', async () => {
    const content = [{ type: 'text' as const, text: CAPITAL }];
    const { choices } = await client.chat.completions.create({
      model: 'base',
      messages: [{ role: 'user', content }],
      temperature: 0,
    });
    expect(choices[0]?.message.content).toBe(answerOf(oracleCase(null, CAPITAL)));
  });

  it('reports logprobs close to those of float32', async () => {
    const reference = oracleCase(null, CAPITAL);
    const { choices } = await ask('base', CAPITAL, { logprobs: true, top_logprobs: 3 });
    const tokens = choices[0]?.logprobs?.content ?? [];
    expect(tokens.map(({ token }) => token).join('')).toBe(reference.greedy_text);
    for (const [index, { logprob, top_logprobs, bytes, token }] of tokens.entries()) {
      expect(Math.abs(logprob - (reference.greedy_logprobs[index] ?? 0))).toBeLessThan(0.3);
      expect(top_logprobs).toHaveLength(3);
      expect(top_logprobs[0]).toEqual({ token, logprob, bytes });
      expect(Buffer.from(bytes ?? []).toString()).toBe(token);
    }
  });

  it('gives n answers, the first as n: 1 would, all again with the same seed', async () => {
    const sampled: Fields = { temperature: 1, seed: 7, max_tokens: 12 };
    const texts = async (fields: Fields) =>
      (await ask('base', 'Tell me a story.', fields)).choices.map(({ message }) => message.content);
    const three = await texts({ ...sampled, n: 3 });
    expect(new Set(three).size).toBe(3);
    expect(await texts({ ...sampled, n: 3 })).toEqual(three);
    expect(await texts(sampled)).toEqual(three.slice(0, 1));
  });

  it('tells what it was served as to those who ask, and logs a user by a hash', async () => {
    expect(await ask('base', CAPITAL)).not.toHaveProperty('service_tier');
    const fields = { safety_identifier: 'alice@example.com', prompt_cache_key: 'k', metadata: { a: 'b' } };
    expect(await ask('base', CAPITAL, { service_tier: 'flex', ...fields })).toMatchObject({
      service_tier: 'flex',
    });
    // Clients may not ask to come first here.
    expect(await ask('base', CAPITAL, { service_tier: 'priority' })).toMatchObject({
      service_tier: 'default',
    });
    await until(() => gateway.logs().some((line) => /"user":"[0-9a-f]{16}"/.test(line)));
    expect(gateway.logs().join('\n')).not.toContain('alice');
  });

  it('follows logit_bias', async () => {
    const [first = 0] = oracleCase(null, CAPITAL).greedy_ids;
    const { choices } = await ask('base', CAPITAL, { logit_bias: { [first]: -100 }, max_tokens: 4 });
    expect(choices[0]?.message.content).not.toMatch(/^The/);
  });

  it('is the same among other adapters’ requests as alone, to the last bit', async () => {
    const cases: [string, string][] = [
      ['base', CAPITAL],
      ['support-triage', CHARGED],
      ['text-to-sql', ORDERS],
      ['pirate', CHARGED],
      ['headline', BEES],
      ['base', 'Tell me a story.'],
    ];
    const fields: Fields = { logprobs: true, top_logprobs: 2, temperature: 0.8, seed: 11 };
    const essence = async ([model, content]: [string, string]) => (await ask(model, content, fields)).choices;
    const alone = [];
    for (const item of cases) alone.push(await essence(item));
    expect(await Promise.all(cases.map(essence))).toEqual(alone);
  });
});

describe('a streamed chat completion', () => {
  it('has the role first, one id, the whole text and the usage last', async () => {
    const chunks = await collect(await askStreamed('pirate', CHARGED));
    const [first] = chunks;
    expect(first?.choices[0]?.delta).toEqual({ role: 'assistant', content: '', refusal: null });
    for (const { id, created, model, object } of chunks) {
      expect({ id, created, model, object }).toEqual({
        id: first?.id,
        created: first?.created,
        model: 'pirate',
        object: 'chat.completion.chunk',
      });
    }
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    expect(text).toBe(answerOf(oracleCase('pirate', CHARGED)));
    expect(chunks.flatMap(({ choices }) => choices[0]?.finish_reason ?? [])).toEqual(['stop']);
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: oracleCase('pirate', CHARGED).prompt_ids.length },
    });
  });

  it('is the answer that is not streamed, in pieces: text, logprobs, choices', async () => {
    const fields: Fields = { temperature: 1, seed: 3, n: 2, logprobs: true, top_logprobs: 1 };
    const whole = await ask('base', 'Tell me a story.', fields);
    const chunks = await collect(await askStreamed('base', 'Tell me a story.', fields));
    for (const { index, message, logprobs, finish_reason } of whole.choices) {
      const pieces = chunks.flatMap(({ choices }) => choices.filter((choice) => choice.index === index));
      expect(pieces.map(({ delta }) => delta.content ?? '').join('')).toBe(message.content);
      expect(pieces.flatMap((piece) => piece.logprobs?.content ?? [])).toEqual(logprobs?.content);
      expect(pieces.at(-1)?.finish_reason).toBe(finish_reason);
    }
    expect(chunks.at(-1)?.usage).toEqual(whole.usage);
  });

  it('never sends a stop string or half a character', async () => {
    const content = 'Café, naïve, 東京, 🙂 — repeat these words.';
    const chunks = await collect(await askStreamed('base', content, { stop: '\n' }));
    const pieces = chunks.map(({ choices }) => choices[0]?.delta.content ?? '');
    const text = pieces.join('');
    expect(text).toContain('東京');
    expect(text).not.toContain('\n');
    for (const piece of pieces) expect(piece).not.toContain('\u{FFFD}');
  });

  it('is framed as server-sent events that end with [DONE]', async () => {
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'base',
        stream: true,
        max_tokens: 16,
        messages: [{ role: 'user', content: 'Hi' }],
      }),
    });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const events = (await response.text()).split('\n\n');
    expect(events.splice(-2)).toEqual(['data: [DONE]', '']);
    for (const event of events) {
      expect(JSON.parse(event.replace(/^data: /, ''))).not.toHaveProperty('usage');
    }
  });

  it('works with the SDK’s own stream helper', async () => {
    const runner = client.chat.completions.stream({
      model: 'text-to-sql',
      messages: [{ role: 'user', content: ORDERS }],
      temperature: 0,
    });
    const { choices } = await runner.finalChatCompletion();
    expect(choices[0]?.message.content).toBe(answerOf(oracleCase('text-to-sql', ORDERS)));
  });
});

describe('a chat completion that cannot be', () => {
  it('is a typed error with the field at fault', async () => {
    const error = await ask('base', CAPITAL, { temperature: 3 }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({
      status: 400,
      code: 'decimal_above_max_value',
      param: 'temperature',
      type: 'invalid_request_error',
      requestID: expect.stringMatching(/^req_/),
    });
  });

  it('names a model that does not exist', async () => {
    const error = await ask('nobody', CAPITAL).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({ code: 'model_not_found', type: 'invalid_request_error', param: null });
  });

  it('says when the prompt is too long, streamed or not', async () => {
    const long = 'word '.repeat(10_000);
    for (const request of [ask, askStreamed]) {
      const error = await request('base', long).then(
        () => null,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(OpenAI.BadRequestError);
      expect(error).toMatchObject({ code: 'context_length_exceeded', param: 'messages' });
    }
  });

  it('refuses the older functions by name', async () => {
    await expect(ask('base', CAPITAL, { functions: [{ name: 'f' }] })).rejects.toMatchObject({
      code: 'unsupported_parameter',
      param: 'functions',
    });
  });
});
