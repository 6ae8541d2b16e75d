/** The document of the API: complete, valid, true of real answers; and those are what OpenAI's own specification says. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, START_MILLISECONDS, startGateway } from '../support/gateway.ts';

type Json = Record<string, unknown>;

const OPENAI = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', 'fixtures', 'openai-openapi.json'), 'utf8'),
) as Document;

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Json>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Json>> };
}

const data = mkdtempSync(join(tmpdir(), 'polylora-openapi-'));
let gateway: Gateway;
let document: Document;
/** Ours, in which objects have no fields but those told of. */
let ours: Ajv2020;
const theirs = new Ajv2020({ strict: false, validateFormats: false });
theirs.addSchema(OPENAI, 'openai');

beforeAll(async () => {
  gateway = await startGateway({ args: ['--auth', 'off', '--data-directory', data] });
  document = (await (await fetch(`${gateway.url}/openapi.json`)).json()) as Document;
  ours = new Ajv2020({ strict: false, validateFormats: false });
  ours.addSchema(closed(structuredClone(document)) as Document, 'ours');
}, START_MILLISECONDS);
afterAll(async () => {
  await gateway?.stop();
  rmSync(data, { recursive: true, force: true });
});

function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, closed(inner)] as const);
  const schema = Object.fromEntries(entries);
  const isObject = schema.type === 'object' && schema.properties !== undefined;
  return isObject && schema.additionalProperties === undefined
    ? { ...schema, additionalProperties: false }
    : schema;
}

function holds(ajv: Ajv2020, base: string, pointer: string, value: unknown): void {
  const validate = ajv.compile({ $ref: `${base}#${pointer}` });
  if (!validate(value)) {
    throw new Error(
      `${pointer}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(value).slice(0, 2000)}`,
    );
  }
}

/** What we answered is what our document says, and what OpenAI's says. */
function answers(
  path: string,
  method: string,
  openai: string | null,
  value: unknown,
  type = 'application/json',
) {
  const at = path.replaceAll('~', '~0').replaceAll('/', '~1');
  const content = type.replaceAll('/', '~1');
  const responses = document.paths[path]?.[method]?.responses as Json;
  const status = Object.keys(responses).find((code) => code !== 'default');
  holds(
    ours,
    'ours',
    `/paths/${encodeURIComponent(at)}/${method}/responses/${status}/content/${content}/schema`,
    value,
  );
  if (openai !== null) holds(theirs, 'openai', `/components/schemas/${openai}`, value);
}

async function post(path: string, body: object): Promise<Json> {
  const response = await fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'base', ...body }),
  });
  expect(response.status).toBe(200);
  return (await response.json()) as Json;
}

async function get(path: string): Promise<Json> {
  return (await (await fetch(`${gateway.url}${path}`)).json()) as Json;
}

async function events(path: string, body: object): Promise<Json[]> {
  const response = await fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'base', stream: true, ...body }),
  });
  const lines = (await response.text()).split('\n').filter((line) => line.startsWith('data: {'));
  return lines.map((line) => JSON.parse(line.slice('data: '.length)) as Json);
}

const CHAT = { messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 4 };

describe('the document', () => {
  it('is valid OpenAPI 3.1', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document) as unknown as Json);
    expect([valid, errors]).toEqual([true, undefined]);
    expect((document as unknown as Json).openapi).toBe('3.1.0');
  });

  it('tells of the fields that requests have, and of no other', () => {
    const { ChatCompletionRequest: chat } = document.components.schemas;
    const properties = chat?.properties as Record<string, Json>;
    for (const field of [
      'model',
      'messages',
      'temperature',
      'adapters',
      'cache_salt',
      'logit_bias',
      'stream',
    ])
      expect(properties).toHaveProperty(field);
    expect(properties).not.toHaveProperty('prediction');
    expect(chat?.required).toEqual(['messages']);
    expect(properties.temperature).toMatchObject({ default: 1, description: expect.any(String) });
  });

  it('has bodies to begin with, which are answered as they are', async () => {
    const asked: string[] = [];
    for (const [path, { post: operation }] of Object.entries(document.paths)) {
      const { content } = (operation?.requestBody ?? {}) as {
        content?: Record<string, { example?: object }>;
      };
      const example = content?.['application/json']?.example;
      if (example === undefined || path.startsWith('/admin/') || path.startsWith('/key/')) continue;
      asked.push(path);
      answers(path, 'post', null, await post(path, example));
    }
    expect(asked).toContain('/v1/chat/completions');
    expect(asked).toHaveLength(6);
  });

  it('is there for everybody, and so is a page to read it with that loads nothing from elsewhere', async () => {
    const page = await fetch(`${gateway.url}/docs`);
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/unsafe-eval|https?:|script-src[^;]*unsafe-inline/);
    const text = await page.text();
    const files = [...text.matchAll(/(?:src|href)="(?!data:)([^"]+)"/g)].map(([, url]) => url ?? '');
    expect(files).toHaveLength(3);
    for (const file of files) {
      const answer = await fetch(new URL(file, `${gateway.url}/docs`));
      expect([file, answer.status]).toEqual([file, 200]);
      expect(answer.headers.get('content-type')).toMatch(/^text\/(css|javascript)/);
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    }
    expect((await fetch(`${gateway.url}/docs/package.json`)).status).toBe(404);
  });
});

describe('an answer is as the document and OpenAI’s specification say', () => {
  it('of a chat completion, whole and in pieces', async () => {
    for (const fields of [{}, { n: 2, logprobs: true, top_logprobs: 2, service_tier: 'flex' }]) {
      const path = '/v1/chat/completions';
      answers(path, 'post', 'CreateChatCompletionResponse', await post(path, { ...CHAT, ...fields }));
      const pieces = await events(path, { ...CHAT, ...fields, stream_options: { include_usage: true } });
      expect(pieces.length).toBeGreaterThan(2);
      for (const piece of pieces)
        answers(path, 'post', 'CreateChatCompletionStreamResponse', piece, 'text/event-stream');
    }
  });

  it('of a completion, whole and in pieces', async () => {
    for (const fields of [{}, { n: 2, logprobs: 2 }, { logprobs: 2, echo: true }]) {
      const path = '/v1/completions';
      const body = { prompt: 'Hello', max_tokens: 4, ...fields };
      // It knows of no token without a logprob, which the first of an echo has with OpenAI too.
      const openai = 'echo' in fields ? null : 'CreateCompletionResponse';
      answers(path, 'post', openai, await post(path, body));
      // OpenAI's specification has the shape of the whole answer alone.
      for (const piece of await events(path, body)) answers(path, 'post', null, piece, 'text/event-stream');
    }
  });

  it('of a response, whole, in pieces, stored and deleted', async () => {
    const path = '/v1/responses';
    const stored = await post(path, { input: 'Hello!', max_output_tokens: 4, instructions: 'Be brief.' });
    answers(path, 'post', 'Response', stored);
    answers(`${path}/{id}`, 'get', 'Response', await get(`${path}/${stored.id}`));
    const items = await get(`${path}/${stored.id}/input_items`);
    answers(`${path}/{id}/input_items`, 'get', 'ResponseItemList', items);
    const body = { input: 'Hello!', max_output_tokens: 4, include: ['message.output_text.logprobs'] };
    for (const event of await events(path, body))
      answers(path, 'post', 'ResponseStreamEvent', event, 'text/event-stream');
    // One call without arguments ends soon, whatever the model would like to say.
    const parameters = { type: 'object', properties: {}, additionalProperties: false };
    const tool = { type: 'function', name: 'look', parameters };
    const required = { tools: [tool], tool_choice: 'required', parallel_tool_calls: false };
    const call = { input: 'Hello!', max_output_tokens: 100, ...required };
    const called = await post(path, call);
    answers(path, 'post', 'Response', called);
    for (const event of await events(path, call))
      answers(path, 'post', 'ResponseStreamEvent', event, 'text/event-stream');
    const [{ call_id } = {}] = called.output as Json[];
    const next = { input: [{ type: 'function_call_output', call_id, output: 'A harbour.' }] };
    const followed = await post(path, { ...next, previous_response_id: called.id, max_output_tokens: 4 });
    answers(
      `${path}/{id}/input_items`,
      'get',
      'ResponseItemList',
      await get(`${path}/${followed.id}/input_items`),
    );
    const deleted = await (await fetch(`${gateway.url}${path}/${stored.id}`, { method: 'DELETE' })).json();
    answers(`${path}/{id}`, 'delete', null, deleted);
  });

  it('of embeddings, as numbers and in base64', async () => {
    const path = '/v1/embeddings';
    const body = { model: 'all-MiniLM-L6-v2', input: ['Hello', 'World'] };
    answers(path, 'post', 'CreateEmbeddingResponse', await post(path, body));
    answers(path, 'post', null, await post(path, { ...body, encoding_format: 'base64' }));
  });

  it('of the models', async () => {
    const models = await get('/v1/models');
    answers('/v1/models', 'get', 'ListModelsResponse', models);
    answers('/v1/models/{id}', 'get', 'Model', await get('/v1/models/base'));
  });

  it('of files and batches', async () => {
    const form = new FormData();
    form.set('purpose', 'batch');
    const line = {
      custom_id: 'a',
      method: 'POST',
      url: '/v1/chat/completions',
      body: { model: 'base', ...CHAT },
    };
    form.set('file', new Blob([JSON.stringify(line)]), 'lines.jsonl');
    const file = (await (
      await fetch(`${gateway.url}/v1/files`, { method: 'POST', body: form })
    ).json()) as Json;
    answers('/v1/files', 'post', 'OpenAIFile', file);
    answers('/v1/files', 'get', null, await get('/v1/files'));
    const fields = { endpoint: '/v1/chat/completions', completion_window: '24h', input_file_id: file.id };
    const batch = await post('/v1/batches', fields);
    answers('/v1/batches', 'post', null, batch);
    answers('/v1/batches', 'get', null, await get('/v1/batches'));
  });

  it('of the other routes', async () => {
    answers('/tokenize', 'post', null, await post('/tokenize', { prompt: 'Hello', return_token_strs: true }));
    answers('/detokenize', 'post', null, await post('/detokenize', { tokens: [1, 2] }));
    answers('/lora-adapters', 'get', null, await get('/lora-adapters'));
    answers('/healthz', 'get', null, await get('/healthz'));
    answers('/readyz', 'get', null, await get('/readyz'));
  });

  it('of a failure', async () => {
    const failure = await get('/v1/responses/resp_unknown');
    holds(ours, 'ours', '/components/schemas/Error', failure);
    holds(theirs, 'openai', '/components/schemas/ErrorResponse', failure);
  });
});
