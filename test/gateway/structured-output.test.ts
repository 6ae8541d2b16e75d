/** Answers in a given form and calls of tools, as clients ask for them, from the default model. */
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, metric, oracleModel, START_MILLISECONDS, startGateway } from '../support/gateway.ts';

const PATIENCE_MS = 120_000;

let gateway: Gateway;
let client: OpenAI;
beforeAll(async () => {
  gateway = await startGateway({ args: await oracleModel() });
  client = gateway.client;
}, START_MILLISECONDS);
afterAll(() => gateway?.stop());

type Fields = Partial<OpenAI.ChatCompletionCreateParamsNonStreaming> & Record<string, unknown>;

function ask(fields: Fields, model = 'base') {
  return client.chat.completions.create({
    model,
    messages: [{ role: 'user', content: 'Describe the city of Paris, please.' }],
    temperature: 1.2,
    max_tokens: 200,
    seed: 3,
    ...fields,
  } as OpenAI.ChatCompletionCreateParamsNonStreaming);
}

async function refusal(fields: Fields) {
  const error: unknown = await ask(fields).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OpenAI.APIError)) throw new Error(`not refused: ${String(error)}`);
  const { status, code, param, message } = error;
  return { status, code, param, message };
}

const CITY = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 20 },
    people: { type: 'integer', minimum: 0, maximum: 99_999_999 },
    capital: { type: 'boolean' },
  },
  required: ['name', 'people', 'capital'],
  additionalProperties: false,
};

function format(schema: unknown, strict = true) {
  return {
    response_format: { type: 'json_schema', json_schema: { name: 'city', strict, schema } },
  } as Fields;
}

describe('an answer in a given form', { timeout: PATIENCE_MS }, () => {
  it('keeps to a strict schema, whatever the adapter and however it is drawn', async () => {
    const models = ['base', 'pirate', 'text-to-sql', 'support-triage'];
    const answers = await Promise.all(
      models.map((model, index) => ask({ ...format(CITY), temperature: 1 + index / 4, seed: index }, model)),
    );
    for (const { choices } of answers) {
      expect(choices[0]?.finish_reason).toBe('stop');
      const city = JSON.parse(choices[0]!.message.content!) as Record<string, unknown>;
      expect(Object.keys(city)).toEqual(['name', 'people', 'capital']);
      expect(city.capital).toBeTypeOf('boolean');
    }
  });

  it('takes vLLM’s fields, of both routes', async () => {
    const choice = await ask({ guided_choice: ['Lyon', 'Paris'], temperature: 0 });
    expect(['Lyon', 'Paris']).toContain(choice.choices[0]?.message.content);
    const regex = await ask({ structured_outputs: { regex: '[A-Z][a-z]{2,8}' } });
    expect(regex.choices[0]?.message.content).toMatch(/^[A-Z][a-z]{2,8}$/);
    const completion = await client.completions.create({
      model: 'base',
      prompt: 'The population of Paris, as JSON: ',
      max_tokens: 100,
      guided_json: JSON.stringify(CITY),
    } as OpenAI.CompletionCreateParamsNonStreaming);
    expect(JSON.parse(completion.choices[0]!.text)).toMatchObject({ capital: expect.any(Boolean) });
    const grammar = await ask({ guided_grammar: 'root ::= ("yes" | "no") ["!"]{1,3}' });
    expect(grammar.choices[0]?.message.content).toMatch(/^(yes|no)!{1,3}$/);
  });

  it('is parsed by the official client', async () => {
    const parsed = await client.chat.completions.parse({
      model: 'base',
      messages: [{ role: 'user', content: 'Paris?' }],
      max_tokens: 200,
      ...(format(CITY) as { response_format: OpenAI.ResponseFormatJSONSchema }),
    });
    expect(parsed.choices[0]?.message.parsed).toMatchObject({ people: expect.any(Number) });
  });

  it('can be had from the Responses API', async () => {
    const response = await client.responses.create({
      model: 'base',
      input: 'Paris?',
      max_output_tokens: 200,
      text: { format: { type: 'json_schema', name: 'city', strict: true, schema: CITY } },
    });
    expect(JSON.parse(response.output_text)).toMatchObject({ name: expect.any(String) });
    expect(response.text?.format).toMatchObject({ type: 'json_schema', name: 'city' });
  });

  it('is refused by OpenAI’s rules and in its words where a strict schema leaves something open', async () => {
    const { additionalProperties: _, ...open } = CITY;
    expect(await refusal(format(open))).toEqual({
      status: 400,
      code: 'invalid_schema',
      param: 'response_format',
      message:
        "400 Invalid schema for response_format 'city': In context=(), 'additionalProperties' is required to be supplied and to be false.",
    });
    const optional = { ...CITY, required: ['name'] };
    expect((await refusal(format(optional))).message).toContain("Missing 'people'");
    expect((await ask({ ...format(optional, false), max_tokens: 20 })).choices).toHaveLength(1);
  });

  it('names the field and the place of what cannot be enforced', async () => {
    expect(await refusal({ guided_json: { items: { not: {} } } })).toMatchObject({
      status: 400,
      code: 'invalid_schema',
      param: 'guided_json',
      message: expect.stringContaining('at /items/not: `not` cannot be enforced'),
    });
    expect(await refusal({ guided_regex: '(' })).toMatchObject({
      code: 'invalid_grammar',
      param: 'guided_regex',
    });
    expect(await refusal({ guided_regex: 'a', guided_choice: ['b'] })).toMatchObject({
      code: 'invalid_value',
      param: 'guided_choice',
    });
    expect(await refusal({ response_format: { type: 'json_schema' } as never })).toMatchObject({
      code: 'missing_required_parameter',
      param: 'response_format.json_schema',
    });
  });

  it('is seen in the metrics', async () => {
    expect(await metric(gateway, 'polylora_grammar_mask_seconds_count')).toBeGreaterThan(10);
    expect(await metric(gateway, 'polylora_grammar_compile_seconds_count')).toBeGreaterThan(3);
    expect(await metric(gateway, 'polylora_grammars_cached')).toBeGreaterThan(3);
  });
});

const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'What the weather is like in a city.',
    strict: true,
    parameters: {
      type: 'object',
      properties: { city: { type: 'string', maxLength: 20 }, days: { enum: [1, 2, 3] } },
      required: ['city', 'days'],
      additionalProperties: false,
    },
  },
} as const satisfies OpenAI.ChatCompletionFunctionTool;

describe('calls of tools', { timeout: PATIENCE_MS }, () => {
  it('come where they must, whole', async () => {
    const { choices } = await ask({ tools: [WEATHER], tool_choice: 'required', parallel_tool_calls: false });
    expect(choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        content: null,
        tool_calls: [
          { id: expect.stringMatching(/^call_/), type: 'function', function: { name: 'get_weather' } },
        ],
      },
    });
    const [call] = choices[0]!.message.tool_calls!;
    if (call?.type !== 'function') throw new Error('no function');
    expect(JSON.parse(call.function.arguments)).toMatchObject({
      city: expect.any(String),
      days: expect.any(Number),
    });
  });

  it('come in pieces that make up the same', async () => {
    const fields = {
      tools: [WEATHER],
      tool_choice: { type: 'function', function: { name: 'get_weather' } },
    } as Fields;
    const whole = await ask(fields);
    const stream = client.chat.completions.stream({
      model: 'base',
      messages: [{ role: 'user', content: 'Describe the city of Paris, please.' }],
      temperature: 1.2,
      max_tokens: 200,
      seed: 3,
      ...(fields as object),
    });
    const { choices } = await stream.finalChatCompletion();
    const strip = (calls: readonly OpenAI.ChatCompletionMessageToolCall[] | undefined) =>
      calls?.map((call) => (call.type === 'function' ? [call.function.name, call.function.arguments] : []));
    expect(choices[0]?.finish_reason).toBe('tool_calls');
    expect(strip(choices[0]!.message.tool_calls)).toEqual(strip(whole.choices[0]!.message.tool_calls));
  });

  it('and their answers can be gone on from', async () => {
    const { choices } = await ask({
      tools: [WEATHER],
      tool_choice: 'none',
      max_tokens: 8,
      messages: [
        { role: 'user', content: 'What is the weather in Paris?' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            {
              id: 'call_1',
              type: 'function',
              function: { name: 'get_weather', arguments: '{"city":"Paris"}' },
            },
          ],
        },
        { role: 'tool', tool_call_id: 'call_1', content: 'Sunny, 25 °C <|im_end|>' },
      ],
    });
    expect(choices[0]?.message.tool_calls).toBeUndefined();
    expect(choices[0]?.message.content).toBeTypeOf('string');
  });

  it('are refused where they make no sense', async () => {
    expect(await refusal({ tool_choice: 'required' })).toMatchObject({
      code: 'invalid_value',
      param: 'tool_choice',
    });
    const named = { type: 'function', function: { name: 'none' } } as const;
    expect(await refusal({ tools: [WEATHER], tool_choice: named })).toMatchObject({ param: 'tool_choice' });
    expect(await refusal({ tools: [WEATHER, WEATHER] })).toMatchObject({ param: 'tools[1].function.name' });
    const open = {
      ...WEATHER,
      function: { ...WEATHER.function, parameters: { type: 'object', properties: {} } },
    };
    expect(await refusal({ tools: [open] })).toMatchObject({
      code: 'invalid_schema',
      param: 'tools[0].function.parameters',
      message: expect.stringContaining("Invalid schema for function 'get_weather'"),
    });
    expect(await refusal({ functions: [{ name: 'f' }] } as Fields)).toMatchObject({
      code: 'unsupported_parameter',
    });
    expect(await refusal({ messages: [{ role: 'tool', content: 'x' } as never] })).toMatchObject({
      param: 'messages[0].tool_call_id',
    });
  });
});
