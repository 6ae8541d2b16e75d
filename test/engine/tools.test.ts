/** Calls of tools on tiny models with random weights, in each family's own format: every call that has to come parses. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine, Tool, ToolCallDelta, ToolUse } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES, GREEDY, ONE_TENANT, startTinyEngine } from '../support/engine.ts';
import { validator } from '../support/schemas.ts';

const PATIENCE_MS = 120_000;

const WEATHER: Tool = {
  name: 'get_weather',
  description: 'What the weather is like. <|im_end|>',
  parameters: {
    type: 'object',
    properties: { city: { $ref: '#/$defs/city' }, days: { type: 'integer', minimum: 1, maximum: 9 } },
    required: ['city', 'days'],
    additionalProperties: false,
    $defs: { city: { type: 'string', maxLength: 8 } },
  },
  strict: true,
};
const TIME: Tool = { name: 'now', description: null, parameters: null, strict: false };
const TOOLS = [WEATHER, TIME];

interface Called {
  readonly text: string;
  readonly calls: readonly { readonly id: string; readonly name: string; readonly arguments: string }[];
  readonly reason: string | null;
}

let asked = 0;
async function call(engine: Engine, use: Partial<ToolUse>, sampling = {}): Promise<Called> {
  let text = '';
  let reason: string | null = null;
  const calls: { id: string; name: string; arguments: string }[] = [];
  const take = ({ index, id, name, arguments: more }: ToolCallDelta) => {
    if (id !== null) calls[index] = { id, name: name!, arguments: '' };
    calls[index]!.arguments += more;
  };
  const request = {
    id: `tools-${asked++}`,
    prompt: {
      kind: 'chat',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Weather in Rome?' },
      ],
      tools: { tools: TOOLS, choice: 'required', parallel: true, ...use },
    },
    adapter: null,
    sampling: { ...GREEDY, temperature: 1, maxTokens: 300, seed: asked, logitBias: closing, ...sampling },
    scheduling: ONE_TENANT,
  } as const;
  for await (const event of engine.generate(request)) {
    if (event.type === 'error') throw new Error(`${event.code}: ${event.message}`);
    if (event.type === 'finish') reason = event.reason;
    if (event.type !== 'delta') continue;
    text += event.text;
    for (const delta of event.toolCalls ?? []) take(delta);
  }
  return { text, calls, reason };
}

const closing: [number, number][] = [];

/** Whole templates of the families, beside models with tokens that stand for markers and without. */
const FAMILIES = [
  { family: 'Qwen 2.5', model: 'qwen2', template: 'qwen2.5', tokens: {} },
  {
    family: 'Qwen 3 with control tokens',
    model: 'qwen3',
    template: 'qwen3',
    tokens: { '<|im_start|>': '<tool_call>' },
  },
  { family: 'Llama', model: 'llama', template: 'llama-3', tokens: {} },
  {
    family: 'Llama with control tokens',
    model: 'llama',
    template: 'llama-3',
    tokens: { '<|im_start|>': '<|python_tag|>' },
  },
  { family: 'Mistral Nemo', model: 'mistral', template: 'mistral-nemo', tokens: {} },
  { family: 'Mistral Small 3.2', model: 'mistral', template: 'mistral-small-3.2', tokens: {} },
  { family: 'Ministral 3', model: 'mistral', template: 'ministral-3', tokens: {} },
  {
    family: 'Ministral 3 with control tokens',
    model: 'qwen3',
    template: 'ministral-3',
    tokens: { '<|endoftext|>': '[TOOL_CALLS]', '<|im_start|>': '[ARGS]' },
  },
];

/** Room for the longest of the templates with its tools. */
const CONTEXT = 4_096;

/** A copy of a tiny model with another chat template, and tokens that have no other use made the family's own. */
async function familyModel(
  { model, template, tokens }: (typeof FAMILIES)[number],
  folder: string,
): Promise<string> {
  await cp(join(FIXTURES, 'models', model), folder, { recursive: true });
  const change = async (file: string, how: (text: string) => string) =>
    writeFile(join(folder, file), how(await readFile(join(folder, file), 'utf8')));
  const chatTemplate = await readFile(join(FIXTURES, 'templates', `${template}.jinja`), 'utf8');
  await change('tokenizer_config.json', (text) =>
    JSON.stringify({ ...JSON.parse(text), chat_template: chatTemplate }),
  );
  await change('config.json', (text) =>
    JSON.stringify({ ...JSON.parse(text), max_position_embeddings: CONTEXT }),
  );
  for (const [from, to] of Object.entries(tokens)) {
    await change('tokenizer.json', (text) => text.replaceAll(from, to));
  }
  return folder;
}

describe.each(FAMILIES)('$family', { timeout: PATIENCE_MS }, (family) => {
  let engine: Engine;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'polylora-tools-'));
    engine = await startTinyEngine(await familyModel(family, folder), { poolBytes: 64 << 20 });
    closing.length = 0;
    const lean = async (text: string, bias: number) =>
      closing.push([(await engine.tokenize({ kind: 'text', text })).at(-1)!, bias]);
    for (const text of ['"', '}', ']']) await lean(text, 3);
    // Else a model with random weights calls and calls.
    await lean(family.model === 'mistral' ? '</s>' : '<|im_end|>', 8);
  }, PATIENCE_MS);
  afterAll(async () => {
    await engine?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('calls where it must, with arguments that the schema allows', async () => {
    const complaint = validator(WEATHER.parameters!);
    const answers = await Promise.all(Array.from({ length: 12 }, () => call(engine, {})));
    let complete = 0;
    for (const { text, calls, reason } of answers) {
      if (reason !== 'tool_calls') continue;
      expect(text).toBe('');
      complete++;
      expect(calls.length).toBeGreaterThan(0);
      expect(new Set(calls.map(({ id }) => id)).size).toBe(calls.length);
      for (const { name, arguments: given } of calls) {
        expect(['get_weather', 'now']).toContain(name);
        if (name === 'get_weather') expect(complaint(JSON.parse(given))).toBeNull();
        else expect(JSON.parse(given)).toBeTypeOf('object');
      }
    }
    expect(complete).toBeGreaterThan(3);
  });

  it('calls the one that is named, once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => call(engine, { choice: { name: 'get_weather' } })),
    );
    for (const { calls, reason } of answers) {
      if (reason === 'tool_calls') expect(calls.map(({ name }) => name)).toEqual(['get_weather']);
    }
  });

  it('calls or answers in the form that is asked for, where it may do either', async () => {
    const answer = {
      type: 'object',
      properties: { ok: { type: 'boolean' } },
      required: ['ok'],
      additionalProperties: false,
    };
    const constraint = {
      kind: 'json_schema',
      field: 'f',
      schema: JSON.stringify(answer),
      lenient: false,
    } as const;
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => call(engine, { choice: 'auto' }, { constraint })),
    );
    for (const { text, calls, reason } of answers) {
      if (reason === 'stop') expect(JSON.parse(text)).toEqual({ ok: expect.any(Boolean) });
      if (reason === 'tool_calls') expect(calls.length).toBeGreaterThan(0);
    }
  });

  it('answers in any words where it need not call', async () => {
    const { reason } = await call(engine, { choice: 'auto' }, { maxTokens: 20 });
    expect(['stop', 'length', 'tool_calls']).toContain(reason);
  });
});
