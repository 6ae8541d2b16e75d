import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type OpenAI from 'openai';
import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cosine, EMBEDDING_CASES } from '../support/embedder.ts';
import {
  DEMO_ADAPTERS,
  type Gateway,
  metric,
  ORACLE,
  oracleModel,
  START_MILLISECONDS,
  startGateway,
  until,
} from '../support/gateway.ts';

const MODEL = 'all-MiniLM-L6-v2';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway({ args: await oracleModel() });
}, START_MILLISECONDS);
afterAll(() => gateway?.stop());

type Fields = Partial<OpenAI.EmbeddingCreateParams> & Record<string, unknown>;

/** As the SDK does it by itself, which is in base64, unless a format is named. */
function embed(input: OpenAI.EmbeddingCreateParams['input'], fields: Fields = {}) {
  return gateway.client.embeddings.create({ model: MODEL, input, ...fields });
}

/** The answer as it is sent. */
async function raw(body: object): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${gateway.url}/v1/embeddings`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function refused(input: unknown, fields: Fields = {}) {
  const { status, body } = await raw({ model: MODEL, input, ...fields });
  return { status, ...(body.error as { code: string; param: string | null; message: string }) };
}

const [QUESTION, SAME, OTHER] = EMBEDDING_CASES.map(({ text }) => text) as [string, string, string];

describe('the embedding model', () => {
  it(
    'gives the official client the vectors of sentence-transformers',
    async () => {
      const cases = EMBEDDING_CASES.filter(({ text, ids }) => text !== '' && ids.length < 256);
      const { object, data, model, usage } = await embed(cases.map(({ text }) => text));
      expect([object, model]).toEqual(['list', MODEL]);
      expect(data.map(({ index }) => index)).toEqual(cases.map((_, index) => index));
      for (const [index, { embedding }] of data.entries()) {
        expect(cosine(embedding, cases[index]!.embedding)).toBeGreaterThan(0.99);
      }
      const tokens = cases.reduce((sum, { ids }) => sum + ids.length, 0);
      expect(usage).toEqual({ prompt_tokens: tokens, total_tokens: tokens });
    },
    START_MILLISECONDS,
  );

  it('finds what means the same nearer than what does not', async () => {
    const { data } = await embed([QUESTION, SAME, OTHER]);
    const [question, same, other] = data.map(({ embedding }) => embedding);
    expect(cosine(question!, same!)).toBeGreaterThan(cosine(question!, other!) + 0.2);
  });

  it('gives the same numbers as floats, in base64, and from token ids', async () => {
    const ids = [...EMBEDDING_CASES[0]!.ids];
    const floats = await embed(QUESTION, { encoding_format: 'float' });
    const decoded = await embed(QUESTION);
    const byIds = await embed(ids);
    const several = await embed([ids, ids]);
    const expected = floats.data[0]!.embedding;
    expect(expected).toHaveLength(384);
    for (const { data } of [decoded, byIds, several]) expect([...data[0]!.embedding]).toEqual(expected);
    const { body } = await raw({ model: MODEL, input: QUESTION, encoding_format: 'base64' });
    const [{ embedding }] = body.data as [{ embedding: string }];
    const bytes = Buffer.from(embedding, 'base64');
    expect(expected.map((_, index) => bytes.readFloatLE(4 * index))).toEqual(expected);
  });

  it('gives fewer dimensions, of length 1 again', async () => {
    const [whole, cut] = await Promise.all([embed(QUESTION), embed(QUESTION, { dimensions: 64 })]);
    const vector = cut.data[0]!.embedding;
    expect(vector).toHaveLength(64);
    expect(Math.hypot(...vector)).toBeCloseTo(1, 6);
    expect(cosine(vector, whole.data[0]!.embedding.slice(0, 64))).toBeCloseTo(1, 6);
  });

  it('takes 2048 texts at once, and one of somebody else beside them', async () => {
    const texts = Array.from({ length: 2048 }, (_, index) => `text number ${index}`);
    const many = embed(texts, { dimensions: 8 });
    const began = performance.now();
    await embed('one text of somebody else');
    const alone = performance.now() - began;
    expect((await many).data).toHaveLength(2048);
    expect(alone).toBeLessThan((performance.now() - began) / 2);
  }, 120_000);

  it('cuts long texts only where that is asked for', async () => {
    const long = 'word '.repeat(400);
    expect(await refused(long)).toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
      param: 'input',
    });
    const whole = await embed(long, { truncate_prompt_tokens: -1 });
    const short = await embed(long, { truncate_prompt_tokens: 10 });
    expect([whole.usage.prompt_tokens, short.usage.prompt_tokens]).toEqual([256, 10]);
  });

  it.each([
    ['an empty text', '', 'empty_string', 'input'],
    ['an empty text among others', ['a', ''], 'empty_string', 'input[1]'],
    ['no texts', [], 'empty_array', 'input'],
    ['more than 2048 texts', Array(2049).fill('a'), 'array_above_max_length', 'input'],
    ['an object', { text: 'a' }, 'invalid_type', 'input'],
    ['a token that there is none of', [[101, 999_999]], 'integer_above_max_value', 'input[0][1]'],
  ])('refuses %s', async (_, input, code, param) => {
    expect(await refused(input)).toMatchObject({ status: 400, code, param });
  });

  it.each([
    ['encoding_format', 'hex', 'invalid_value'],
    ['dimensions', 0, 'integer_below_min_value'],
    ['dimensions', 385, 'integer_above_max_value'],
    ['truncate_prompt_tokens', 0.5, 'invalid_type'],
  ])('refuses %s of %s', async (field, value, code) => {
    expect(await refused(QUESTION, { [field]: value })).toMatchObject({ status: 400, code, param: field });
  });

  it('is listed as what it is, and neither chats nor takes adapters', async () => {
    const models = (await gateway.client.models.list()).data as unknown as { id: string; task: string }[];
    expect(models.find(({ id }) => id === MODEL)).toMatchObject({ task: 'embed', parent: null });
    expect(models[0]).toMatchObject({ task: 'generate' });
    const chat = gateway.client.chat.completions.create({
      model: MODEL,
      messages: [{ role: 'user', content: 'hello' }],
    });
    await expect(chat).rejects.toMatchObject({ status: 400, param: 'model' });
    expect(await refused(QUESTION, { adapters: [{ name: 'pirate', weight: 0.5 }] })).toMatchObject({
      status: 400,
      param: 'model',
    });
  });

  it('is counted', async () => {
    const before = await metric(gateway, 'polylora_embedding_tokens_total');
    const { usage } = await embed([QUESTION, OTHER]);
    expect((await metric(gateway, 'polylora_embedding_tokens_total')) - before).toBe(usage.prompt_tokens);
    expect(await metric(gateway, 'polylora_encoder_seconds_total')).toBeGreaterThan(0);
    expect(await metric(gateway, 'polylora_encoder_inputs_waiting')).toBe(0);
  });
});

describe('a model that generates', () => {
  it.each(['base', 'support-triage'])('gives the hidden state of %s', async (model) => {
    const { data, usage, model: named } = await embed([QUESTION, SAME, OTHER], { model });
    expect(named).toBe(model === 'base' ? 'SmolLM2-135M-Instruct.Q4_1' : model);
    for (const { embedding } of data) {
      expect(embedding).toHaveLength(576);
      expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);
    }
    expect(usage.prompt_tokens).toBeGreaterThan(10);
    const [again] = (await embed([QUESTION], { model })).data;
    expect([...again!.embedding]).toEqual([...data[0]!.embedding]);
  });

  it('gives each adapter a state of its own, from token ids too', async () => {
    const [{ prompt_ids: ids }] = ORACLE as [(typeof ORACLE)[number]];
    const states = await Promise.all(
      ['base', 'pirate', 'text-to-sql'].map(async (model) => {
        const { data, usage } = await embed(ids, { model });
        expect(usage.prompt_tokens).toBe(ids.length);
        return data[0]!.embedding;
      }),
    );
    expect(cosine(states[0]!, states[1]!)).toBeLessThan(0.999);
    expect(cosine(states[1]!, states[2]!)).toBeLessThan(0.999);
  });

  it('takes more texts than run at once', async () => {
    const texts = Array.from({ length: 50 }, (_, index) => `text ${index}`);
    const { data } = await embed(texts, { model: 'pirate', dimensions: 4 });
    expect(data.map(({ index }) => index)).toEqual(texts.map((_, index) => index));
  });

  it('cuts long texts only where that is asked for', async () => {
    const { usage } = await embed(['word '.repeat(9000), 'short'], {
      model: 'base',
      truncate_prompt_tokens: 20,
    });
    expect(usage.prompt_tokens).toBe(21);
  });

  it('names what is wrong with a text', async () => {
    expect(await refused([[0, 49_152]], { model: 'base' })).toMatchObject({
      status: 400,
      param: 'input[0][1]',
    });
    expect(await refused('word '.repeat(9000), { model: 'base' })).toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
      param: 'input',
    });
    expect(await refused(QUESTION, { model: 'nobody' })).toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });
});

describe('a batch of embeddings', () => {
  it('answers each line as the route would', async () => {
    const bodies = [
      { model: MODEL, input: [QUESTION, SAME] },
      { model: 'pirate', input: OTHER, dimensions: 32 },
      { model: MODEL, input: '' },
    ];
    const lines = bodies.map((body, index) =>
      JSON.stringify({ custom_id: String(index), method: 'POST', url: '/v1/embeddings', body }),
    );
    const { batches, files } = gateway.client;
    const file = await toFile(Buffer.from(lines.join('\n')), 'lines.jsonl');
    const { id: input } = await files.create({ purpose: 'batch', file });
    const { id } = await batches.create({
      input_file_id: input,
      endpoint: '/v1/embeddings',
      completion_window: '24h',
    });
    await until(async () => (await batches.retrieve(id)).status === 'completed', 30);
    const { request_counts, usage, output_file_id: output } = await batches.retrieve(id);
    expect(request_counts).toEqual({ total: 3, completed: 2, failed: 1 });
    const results = (await (await files.content(output ?? '')).text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { custom_id: string; response: { body: { usage: object } } });
    expect(results).toHaveLength(2);
    let tokens = 0;
    for (const { custom_id, response } of results) {
      const direct = await raw(bodies[Number(custom_id)]!);
      expect(response.body).toEqual(direct.body);
      tokens += (direct.body.usage as { total_tokens: number }).total_tokens;
    }
    expect(usage?.total_tokens).toBe(tokens);
  });
});

describe('a server without an embedding model, with an adapter that was trained to make vectors', () => {
  let folder: string;
  let other: Gateway;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'polylora-embedding-adapters-'));
    await cp(join(DEMO_ADAPTERS, 'pirate'), join(folder, 'vectors'), { recursive: true });
    const config = join(folder, 'vectors', 'adapter_config.json');
    const options = JSON.parse(await readFile(config, 'utf8')) as object;
    await writeFile(config, JSON.stringify({ ...options, task_type: 'FEATURE_EXTRACTION' }));
    other = await startGateway({
      args: [...(await oracleModel()), '--embedding-model', 'none'],
      adapters: folder,
    });
  }, START_MILLISECONDS);
  afterAll(async () => {
    await other?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('has no model of that name', async () => {
    const asked = other.client.embeddings.create({ model: MODEL, input: 'text' });
    await expect(asked).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });

  it('says what the adapter is for, and gives its hidden states', async () => {
    const models = (await other.client.models.list()).data as unknown as { id: string; task: string }[];
    expect(models.map(({ id, task }) => [id, task])).toEqual([
      [models[0]!.id, 'generate'],
      ['vectors', 'embed'],
    ]);
    const { data } = await other.client.embeddings.create({ model: 'vectors', input: QUESTION });
    const { data: same } = await embed(QUESTION, { model: 'pirate' });
    expect([...data[0]!.embedding]).toEqual([...same[0]!.embedding]);
  });
});
