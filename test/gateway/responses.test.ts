import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  answerOf,
  type Gateway,
  oracleCase,
  oracleModel,
  START_MILLISECONDS,
  startGateway,
} from '../support/gateway.ts';

const CAPITAL = 'What is the capital of France?';

const data = mkdtempSync(join(tmpdir(), 'polylora-responses-'));
let gateway: Gateway;
let client: OpenAI;
const start = async () => {
  const database = ['--database', join(data, 'metadata.db')];
  gateway = await startGateway({ args: [...(await oracleModel()), '--auth', 'off', ...database] });
  client = clientOf('key-a');
};
beforeAll(start, START_MILLISECONDS);
afterAll(async () => {
  await gateway?.stop();
  rmSync(data, { recursive: true, force: true });
});

function clientOf(apiKey: string): OpenAI {
  return new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });
}

const WEATHER = {
  type: 'function' as const,
  name: 'get_weather',
  description: 'The weather of the next days in a city.',
  strict: true,
  parameters: {
    type: 'object',
    properties: {
      city: { type: 'string', enum: ['Paris', 'Rome'] },
      days: { type: 'integer', minimum: 1, maximum: 9 },
    },
    required: ['city', 'days'],
    additionalProperties: false,
  },
} satisfies OpenAI.Responses.FunctionTool;

type Fields = Partial<OpenAI.Responses.ResponseCreateParamsNonStreaming>;

function respond(input: OpenAI.Responses.ResponseInput | string, fields: Fields = {}) {
  return client.responses.create({ model: 'base', input, temperature: 0, max_output_tokens: 24, ...fields });
}

describe('a response', () => {
  it('is what a chat completion answers, in the shape of the Responses API', async () => {
    const reference = oracleCase(null, CAPITAL);
    const response = await respond(CAPITAL, { metadata: { a: 'b' } });
    expect(response.output_text).toBe(answerOf(reference));
    expect(response).toMatchObject({
      id: expect.stringMatching(/^resp_/),
      object: 'response',
      status: 'completed',
      error: null,
      incomplete_details: null,
      model: expect.stringContaining('SmolLM2'),
      metadata: { a: 'b' },
      store: true,
      output: [
        {
          type: 'message',
          role: 'assistant',
          status: 'completed',
          content: [{ type: 'output_text', annotations: [] }],
        },
      ],
      usage: {
        input_tokens: reference.prompt_ids.length,
        input_tokens_details: { cached_tokens: expect.any(Number) },
        output_tokens_details: { reasoning_tokens: 0 },
      },
    });
  });

  it('ends at its limit of tokens, and says so', async () => {
    const response = await respond(CAPITAL, { max_output_tokens: 2 });
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      usage: { output_tokens: 2 },
    });
  });

  it('takes instructions and messages with parts, for an adapter too', async () => {
    const messages = [
      { role: 'system' as const, content: 'Answer as a pirate.' },
      { role: 'user' as const, content: CAPITAL },
    ];
    const chat = await client.chat.completions.create({
      ...{ model: 'pirate', messages, temperature: 0, max_tokens: 24 },
    });
    const input = [
      {
        type: 'message' as const,
        role: 'user' as const,
        content: [{ type: 'input_text' as const, text: CAPITAL }],
      },
    ];
    const fields = { model: 'pirate', instructions: 'Answer as a pirate.' };
    expect((await respond(input, fields)).output_text).toBe(chat.choices[0]?.message.content);
  });

  it('goes on from an earlier one', async () => {
    const first = await respond('My name is Ada. Please remember it.');
    const question = 'What is my name?';
    const second = await respond(question, { previous_response_id: first.id });
    const chat = await client.chat.completions.create({
      model: 'base',
      messages: [
        { role: 'user', content: 'My name is Ada. Please remember it.' },
        { role: 'assistant', content: first.output_text },
        { role: 'user', content: question },
      ],
      temperature: 0,
      max_tokens: 24,
    });
    expect(second.output_text).toBe(chat.choices[0]?.message.content);
    expect(second.previous_response_id).toBe(first.id);
    await client.responses.delete(first.id);
    await expect(respond('And now?', { previous_response_id: second.id })).rejects.toMatchObject({
      status: 404,
      code: 'previous_response_not_found',
      param: 'previous_response_id',
    });
  });

  it('tells logprobs where they are asked for', async () => {
    const response = await respond(CAPITAL, { include: ['message.output_text.logprobs'], top_logprobs: 2 });
    const [message] = response.output;
    const [part] = message?.type === 'message' ? message.content : [];
    expect(part?.type === 'output_text' ? part.logprobs?.[0] : null).toMatchObject({
      token: expect.any(String),
      top_logprobs: [{ logprob: expect.any(Number) }, {}],
    });
  });

  it.each<[object, string, string]>([
    [{ input: undefined }, 'missing_required_parameter', 'input'],
    [{ input: [{ type: 'item_reference', id: 'x' }] }, 'unsupported_parameter', 'input[0].type'],
    [{ input: [{ type: 'function_call_output', call_id: 'x', output: 'y' }] }, 'invalid_value', 'input'],
    [
      { input: [{ type: 'function_call', call_id: 'x', name: 'y' }] },
      'missing_required_parameter',
      'input[0].arguments',
    ],
    [{ input: [{ type: 'message', role: 'user' }] }, 'missing_required_parameter', 'input[0].content'],
    [
      { input: [{ role: 'user', content: [{ type: 'input_image' }] }] },
      'unsupported_parameter',
      'input[0].content[0].type',
    ],
    [{ background: true }, 'unsupported_parameter', 'background'],
    [{ tools: [{ type: 'web_search' }] }, 'unsupported_parameter', 'tools[0].type'],
    [{ tools: [WEATHER, WEATHER] }, 'invalid_value', 'tools[1].name'],
    [{ tools: [{ ...WEATHER, parameters: { type: 'object' } }] }, 'invalid_schema', 'tools[0].parameters'],
    [{ tools: [WEATHER], tool_choice: { type: 'function', name: 'other' } }, 'invalid_value', 'tool_choice'],
    [{ truncation: 'auto' }, 'unsupported_parameter', 'truncation'],
    [{ max_output_tokens: 0 }, 'integer_below_min_value', 'max_output_tokens'],
    [{ metadata: { a: 1 } }, 'invalid_type', 'metadata.a'],
    [{ previous_response_id: 'resp_unknown' }, 'previous_response_not_found', 'previous_response_id'],
  ])('that cannot be is refused by name: %j', async (fields, code, param) => {
    await expect(respond(CAPITAL, fields as Fields)).rejects.toMatchObject({ code, param });
  });
});

describe('a streamed response', () => {
  it("has OpenAI's events in their order, numbered, and is the same as a whole one", async () => {
    const whole = await respond(CAPITAL, { seed: 1 } as Fields);
    const stream = await client.responses.create({
      ...{ model: 'base', input: CAPITAL, temperature: 0, max_output_tokens: 24 },
      stream: true,
    });
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    for await (const event of stream) events.push(event);
    expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, index) => index));
    const types = events.map(({ type }) => type).filter((type, index, all) => type !== all[index - 1]);
    expect(types).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    const text = events
      .map((event) => (event.type === 'response.output_text.delta' ? event.delta : ''))
      .join('');
    expect(text).toBe(whole.output_text);
    const last = events.at(-1);
    const id = last?.type === 'response.completed' ? last.response.id : '';
    // Stored before the last event was sent.
    expect((await client.responses.retrieve(id)).output_text).toBe(text);
  });

  it("works with the SDK's own helper", async () => {
    const stream = client.responses.stream({
      model: 'base',
      input: CAPITAL,
      temperature: 0,
      max_output_tokens: 3,
    });
    const final = await stream.finalResponse();
    expect(final).toMatchObject({ status: 'incomplete', output_text: expect.stringMatching(/\S/) });
  });
});

describe('calls of functions', () => {
  const QUESTION = 'What is the weather in Paris for the next two days?';
  const must = { tools: [WEATHER], tool_choice: 'required' as const, parallel_tool_calls: false };

  it('are items of the output, which can be gone on from with what came of them', async () => {
    const first = await respond(QUESTION, { ...must, max_output_tokens: 200 });
    const [call] = first.output;
    if (call?.type !== 'function_call') throw new Error('no call');
    expect(first).toMatchObject({ status: 'completed', output_text: '', tools: [WEATHER] });
    expect(call).toMatchObject({ name: 'get_weather', status: 'completed' });
    expect(call.call_id).toMatch(/^call_/);
    expect(JSON.parse(call.arguments)).toMatchObject({ city: expect.any(String), days: expect.any(Number) });

    const output = { type: 'function_call_output', call_id: call.call_id, output: 'Sunny, 25 °C' } as const;
    const next = await respond([output], {
      previous_response_id: first.id,
      tools: [WEATHER],
      tool_choice: 'none',
    });
    const chat = await client.chat.completions.create({
      model: 'base',
      messages: [
        { role: 'user', content: QUESTION },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            { id: call.call_id, type: 'function', function: { name: call.name, arguments: call.arguments } },
          ],
        },
        { role: 'tool', tool_call_id: call.call_id, content: 'Sunny, 25 °C' },
      ],
      temperature: 0,
      max_tokens: 24,
    });
    expect(next.output_text).toBe(chat.choices[0]?.message.content);
    // The same without what is stored.
    const items = [{ role: 'user' as const, content: QUESTION }, call, output];
    expect((await respond(items)).output_text).toBe(next.output_text);
    const kept = await client.responses.inputItems.list(next.id);
    expect(kept.data).toMatchObject([output]);
  });

  it('come in pieces that make up the same', async () => {
    const whole = await respond(QUESTION, { ...must, max_output_tokens: 200 });
    const stream = client.responses.stream({
      ...{ model: 'base', input: QUESTION, temperature: 0, max_output_tokens: 200 },
      ...must,
    });
    const types: string[] = [];
    let pieces = '';
    for await (const event of stream) {
      if (types.at(-1) !== event.type) types.push(event.type);
      if (event.type === 'response.function_call_arguments.delta') pieces += event.delta;
    }
    expect(types).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.output_item.done',
      'response.completed',
    ]);
    const [call] = (await stream.finalResponse()).output;
    const [expected] = whole.output;
    if (call?.type !== 'function_call' || expected?.type !== 'function_call') throw new Error('no call');
    expect([call.name, call.arguments]).toEqual([expected.name, expected.arguments]);
    expect(pieces).toBe(call.arguments);
  });

  it('that are cut off are incomplete', async () => {
    const response = await respond(QUESTION, { ...must, max_output_tokens: 4 });
    expect(response.status).toBe('incomplete');
    expect(response.output.at(-1)).toMatchObject({ status: 'incomplete' });
  });
});

describe('a stored response', () => {
  it('is retrieved, listed by its input and deleted, by its own tenant alone', async () => {
    const response = await respond([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: CAPITAL },
    ]);
    const { output_text: _, ...stored } = response;
    expect(await client.responses.retrieve(response.id)).toMatchObject(stored);
    const items = await client.responses.inputItems.list(response.id, { order: 'asc' });
    expect(items.data).toMatchObject([
      { type: 'message', role: 'system', content: [{ type: 'input_text', text: 'Be brief.' }] },
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: CAPITAL }] },
    ]);
    await expect(client.responses.cancel(response.id)).rejects.toMatchObject({
      status: 400,
      code: 'response_not_cancellable',
    });

    const other = clientOf('key-b');
    const refusals = async (id: string) =>
      Promise.all(
        [
          other.responses.retrieve(id),
          other.responses.delete(id),
          other.responses.cancel(id),
          other.responses.inputItems.list(id),
          other.responses.create({ model: 'base', input: 'x', previous_response_id: id }),
        ].map((refused) =>
          refused.then(
            () => null,
            (error: InstanceType<typeof OpenAI.APIError>) => [
              error.status,
              error.message.replaceAll(id, 'ID'),
            ],
          ),
        ),
      );
    expect(await refusals(response.id)).toEqual(await refusals('resp_unknown'));
    expect((await refusals(response.id)).map((refusal) => refusal?.[0])).toEqual([404, 404, 404, 404, 404]);

    await client.responses.delete(response.id);
    await expect(client.responses.retrieve(response.id)).rejects.toMatchObject({
      status: 404,
      code: 'response_not_found',
    });
  });

  it('is none where the client does not want it stored', async () => {
    const { id } = await respond(CAPITAL, { store: false });
    await expect(client.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
  });

  it(
    'is there after the server was killed',
    async () => {
      const { id, output_text: text } = await respond(CAPITAL);
      gateway.child.kill('SIGKILL');
      await gateway.exited;
      await start();
      expect((await client.responses.retrieve(id)).output_text).toBe(text);
    },
    START_MILLISECONDS,
  );
});
