/** Keys, limits and budgets of a real server: what its first start prints, what holds over `kill -9`, and what it never writes. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES } from '../support/engine.ts';
import { type Gateway, launch, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';

const TINY = join(FIXTURES, 'models', 'llama');
const CANARY = 'xylophone-7731';

let home: string;
let gateway: Gateway;
let operator = '';

/** The same server again, as far as it keeps anything. */
function start(): Promise<Gateway> {
  return startGateway({
    auth: 'keys',
    adapters: TINY,
    args: [
      ...['--model', TINY, '--weights', 'f32', '--pool-megabytes', '64', '--max-running', '8'],
      ...['--store', join(home, 'store'), '--data-directory', join(home, 'data'), '--log-level', 'debug'],
    ],
    env: { POLYLORA_SECRET_KEY: 'cd'.repeat(32) },
  });
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'polylora-keys-'));
  gateway = await start();
  operator = /OPENAI_API_KEY=(plk_[\w-]{43})/.exec(gateway.output.stdout)?.[1] ?? '';
}, START_MILLISECONDS);
afterAll(async () => {
  await gateway?.stop();
  await rm(home, { recursive: true, force: true });
});

const clientOf = (apiKey: string) => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });

function ask(apiKey: string, fields: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming> = {}) {
  return clientOf(apiKey).chat.completions.create({
    model: 'base',
    messages: [{ role: 'user', content: 'Hi there' }],
    max_tokens: 8,
    temperature: 0,
    ...({ ignore_eos: true } as object),
    ...fields,
  });
}

async function cli(...args: string[]): Promise<string> {
  const { exited, output } = launch(args, { POLYLORA_URL: gateway.url, POLYLORA_OPERATOR_KEY: operator });
  const status = await exited;
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}: ${output.stderr}`);
  return output.stdout;
}

/** A key of a tenant, made by the command. */
async function newKey(tenant: string, ...options: string[]): Promise<{ id: string; key: string }> {
  return JSON.parse(await cli('keys', 'create', '--tenant', tenant, '--json', ...options));
}

async function spendOf(
  tenant: string,
): Promise<{ requests: number; prompt_tokens: number; completion_tokens: number }[]> {
  const response = await fetch(`${gateway.url}/admin/v1/tenants/${tenant}/spend`, {
    headers: { authorization: `Bearer ${operator}` },
  });
  return ((await response.json()) as { data: [] }).data;
}

describe('a first start', () => {
  it(
    'prints an operator key that opens everything, once',
    async () => {
      expect(operator).toMatch(/^plk_/);
      expect((await ask(operator)).usage?.completion_tokens).toBe(8);
      await expect(ask('plk_wrong')).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' });
      expect((await fetch(`${gateway.url}/v1/models`)).status).toBe(401);
      expect(await cli('keys', 'ls')).toContain(operator.slice(0, 10));
      await gateway.stop();
      gateway = await start();
      expect(gateway.output.stdout).not.toContain('plk_');
      expect((await ask(operator)).usage?.completion_tokens).toBe(8);
    },
    START_MILLISECONDS,
  );
});

describe('who may ask to come first', () => {
  it('does, before what waits of its own tenant, until it may not any more', async () => {
    await cli('tenants', 'create', 'urgent', '--allow-priority', 'yes');
    const { key } = await newKey('urgent');
    const waiting = async () => {
      const answer = await fetch(`${gateway.url}/metrics`, {
        headers: { authorization: `Bearer ${operator}` },
      });
      return Number(/^vllm:num_requests_waiting\{.*\} (\d+)$/m.exec(await answer.text())?.[1]);
    };
    const tierOf = async (service_tier: 'priority' | 'default') =>
      (await ask(key, { service_tier, max_tokens: 1 })).service_tier;
    let open = 0;
    const usual = Array.from({ length: 60 }, async () => {
      open += 1;
      await ask(key, { max_tokens: 400 });
      open -= 1;
    });
    await until(async () => (await waiting()) > 30);
    expect(await tierOf('priority')).toBe('priority');
    // Those that waited when it came are still there: in turn it would have been the last.
    expect(open).toBeGreaterThan(20);
    await Promise.all(usual);
    await cli('tenants', 'set', 'urgent', '--allow-priority', 'no');
    await until(async () => (await tierOf('priority')) === 'default');
  }, 120_000);
});

describe('a tenant', () => {
  it('is made by the command, uses what it is granted, and no more than its budget', async () => {
    await cli('tenants', 'create', 'acme', '--budget', 'day:tokens:200', '--weight', '2');
    const { key } = await newKey('acme', '--model', 'base', '--requests-per-minute', '100');
    const models = await clientOf(key).models.list();
    expect(models.data.map(({ id }) => id)).toHaveLength(1);
    await expect(ask(key, { model: 'adapter' })).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
    const { response } = await clientOf(key)
      .chat.completions.create({ model: 'base', messages: [{ role: 'user', content: 'x' }], max_tokens: 2 })
      .withResponse();
    expect(response.headers.get('x-ratelimit-limit-requests')).toBe('100');
    expect(response.headers.get('x-ratelimit-remaining-requests')).toBe('99');
    const results = await Promise.allSettled(Array.from({ length: 40 }, () => ask(key)));
    const refused = results.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
    expect(refused.length).toBeGreaterThan(0);
    for (const { status, code } of refused) {
      expect(status).toBe(429);
      expect(['budget_held', 'insufficient_quota']).toContain(code);
    }
    // Until nothing fits any more, one after the other.
    let last: InstanceType<typeof OpenAI.APIError> | null = null;
    while (last === null) {
      last = await ask(key).then(
        () => null,
        (error) => error,
      );
    }
    expect(last).toMatchObject({ status: 429, code: 'insufficient_quota' });
    expect(last.headers?.get('x-should-retry')).toBe('false');
    await until(async () => (await spendOf('acme')).length > 0);
    await sleep(600);
    const [spent] = await spendOf('acme');
    const total = (spent?.prompt_tokens ?? 0) + (spent?.completion_tokens ?? 0);
    expect(total).toBeLessThanOrEqual(200);
    // The next would have needed more than what is left, with its prompt counted at its most.
    expect(total).toBeGreaterThan(200 - 8 - 170);
    expect(await cli('tenants', 'spend', 'acme', '--by', 'day,model')).toContain(
      String(spent?.completion_tokens),
    );
    expect(await cli('tenants', 'set', 'acme', '--budget', 'day:tokens:none')).not.toContain('200 tokens');
    expect((await ask(key)).usage?.completion_tokens).toBe(8);
  }, 60_000);

  it('asks for tokens as for all else, but uses none', async () => {
    await cli('tenants', 'create', 'splitter', '--requests-per-minute', '2', '--budget', 'day:tokens:0');
    const { key } = await newKey('splitter');
    const post = async (path: string, body: object) => {
      const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
      const response = await fetch(gateway.url + path, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
      });
      const { error } = (await response.json()) as { error?: { code: string } };
      return [response.status, response.headers.get('x-ratelimit-remaining-requests'), error?.code];
    };
    // What is refused for itself does not count.
    expect((await post('/tokenize', {}))[0]).toBe(400);
    expect(await post('/tokenize', { prompt: 'Once upon a time' })).toEqual([200, '1', undefined]);
    expect(await post('/detokenize', { tokens: [5, 6] })).toEqual([200, '0', undefined]);
    for (const [path, body] of [
      ['/tokenize', { prompt: 'x' }],
      ['/detokenize', { tokens: [5] }],
    ] as const) {
      expect(await post(path, body)).toEqual([429, '0', 'rate_limit_exceeded']);
    }
  }, 60_000);

  it('has its prompts counted by the token where by the byte they would be too large for good', async () => {
    await cli('tenants', 'create', 'wordy', '--tokens-per-request', '200');
    const { key } = await newKey('wordy');
    const say = (words: number, max_tokens = 8) =>
      ask(key, { messages: [{ role: 'user', content: 'the '.repeat(words) }], max_tokens });
    const { usage } = await say(170);
    const room = 200 - (usage?.prompt_tokens ?? 0);
    expect((await say(170, room)).usage?.total_tokens).toBe(200);
    // The message has the tokens that were counted, or all of the context for what was not worth it.
    await expect(say(170, room + 1)).rejects.toMatchObject({
      ...{ status: 400, code: 'request_exceeds_limit' },
      message: expect.stringContaining('up to 201 tokens'),
    });
    await expect(say(2_000)).rejects.toMatchObject({ message: expect.stringContaining('up to 520 tokens') });
    const embed = (words: number) =>
      clientOf(key).embeddings.create({ model: 'base', input: ['the '.repeat(words), 'the '] });
    expect((await embed(150)).usage.prompt_tokens).toBeLessThan(200);
    await expect(embed(250)).rejects.toMatchObject({ status: 400, code: 'request_exceeds_limit' });
  }, 60_000);

  it('pays once for what was generated when its client leaves, and its place is free at once', async () => {
    await cli('tenants', 'create', 'leaver', '--concurrent-requests', '1');
    const { key } = await newKey('leaver');
    const stream = await clientOf(key).chat.completions.create({
      model: 'base',
      messages: [{ role: 'user', content: 'Count.' }],
      stream: true,
      max_tokens: 480,
      n: 8,
      ...({ ignore_eos: true } as object),
    });
    await expect(ask(key)).rejects.toMatchObject({ status: 429, code: 'concurrency_limit_exceeded' });
    let pieces = 0;
    for await (const { choices } of stream) if (choices.length > 0 && ++pieces === 5) break;
    await until(async () => (await spendOf('leaver')).length > 0, 5);
    await until(
      () =>
        ask(key).then(
          () => true,
          () => false,
        ),
      5,
    );
    await until(async () => (await spendOf('leaver'))[0]?.requests === 2);
    // Nothing more follows.
    await sleep(800);
    const [spent] = await spendOf('leaver');
    expect(spent?.requests).toBe(2);
    expect(spent?.completion_tokens).toBeGreaterThanOrEqual(5 + 8);
    expect(spent?.completion_tokens).toBeLessThan(8 * 480);
    const line =
      gateway.logs().find((each) => each.includes('"tenant":"leaver"') && each.includes('"stream":true')) ??
      '';
    expect(JSON.parse(line)).toMatchObject({
      ...{ route: '/v1/chat/completions', tenant: 'leaver', key: expect.stringMatching(/^key_/) },
      usage: { completion_tokens: (spent?.completion_tokens ?? 0) - 8 },
    });
  }, 60_000);

  it("cannot read another's stored response, nor go on from it", async () => {
    await cli('tenants', 'create', 'writer');
    await cli('tenants', 'create', 'reader');
    const [writer, reader] = [await newKey('writer'), await newKey('reader')];
    const body = { model: 'base', input: 'Hi', max_output_tokens: 4 };
    const { id } = await clientOf(writer.key).responses.create(body);
    expect((await clientOf(writer.key).responses.retrieve(id)).id).toBe(id);
    const other = clientOf(reader.key).responses;
    const told = async (work: Promise<unknown>, given: string) =>
      work.then(
        () => 'there',
        (error) => `${error.status} ${error.message.replaceAll(given, 'ID')}`,
      );
    const none = 'resp_00000000000000000000000000000000';
    for (const ask of [
      (given: string) => other.retrieve(given),
      (given: string) => other.delete(given),
      (given: string) => other.inputItems.list(given),
      (given: string) => other.cancel(given),
      (given: string) => other.create({ ...body, previous_response_id: given }),
    ]) {
      const real = await told(Promise.resolve(ask(id)), id);
      expect(real).toMatch(/^404 /);
      expect(real).toBe(await told(Promise.resolve(ask(none)), none));
    }
    expect((await clientOf(writer.key).responses.retrieve(id)).id).toBe(id);
  }, 60_000);

  it('has its batches run for its key, until that holds no more', async () => {
    await cli('tenants', 'create', 'batcher', '--requests-per-minute', '1');
    const { id, key } = await newKey('batcher');
    const client = clientOf(key);
    const run = async () => {
      const lines = Array.from({ length: 3 }, (_, index) =>
        JSON.stringify({
          custom_id: `${index}`,
          method: 'POST',
          url: '/v1/completions',
          body: { model: 'base', prompt: 'x', max_tokens: 4 },
        }),
      );
      const file = await client.files.create({
        purpose: 'batch',
        file: new File([lines.join('\n')], 'in.jsonl'),
      });
      return client.batches.create({
        input_file_id: file.id,
        endpoint: '/v1/completions',
        completion_window: '24h',
      });
    };
    const batch = await run();
    await until(async () => (await client.batches.retrieve(batch.id)).status === 'completed', 20);
    // Nobody waits for its lines: they have no limits per minute, and are paid for.
    expect((await client.batches.retrieve(batch.id)).request_counts).toMatchObject({
      completed: 3,
      failed: 0,
    });
    await until(async () => (await spendOf('batcher'))[0]?.requests === 3, 5);
    await cli('keys', 'set', id, '--model', 'nothing');
    const second = await run();
    await until(async () => (await client.batches.retrieve(second.id)).status === 'completed', 20);
    expect((await client.batches.retrieve(second.id)).request_counts).toMatchObject({
      completed: 0,
      failed: 3,
    });
    await cli('keys', 'block', id);
    await expect(client.batches.list()).rejects.toMatchObject({ status: 401 });
  }, 60_000);

  it(
    'finds after a kill -9 what it had spent, and nothing held',
    async () => {
      await cli(
        'tenants',
        'create',
        'survivor',
        '--concurrent-requests',
        '2',
        '--budget',
        'month:tokens:8000',
      );
      const { key } = await newKey('survivor');
      await ask(key);
      await until(async () => (await spendOf('survivor'))[0]?.requests === 1);
      const before = await spendOf('survivor');
      expect(before[0]?.requests).toBe(1);
      for (let running = 0; running < 2; running++) {
        const controller = new AbortController();
        clientOf(key)
          .chat.completions.create(
            {
              model: 'base',
              messages: [{ role: 'user', content: 'x' }],
              max_tokens: 480,
              n: 4,
              ...({ ignore_eos: true } as object),
            },
            { signal: controller.signal },
          )
          .catch(() => {});
      }
      await until(
        () =>
          ask(key).then(
            () => false,
            (error) => error.code === 'concurrency_limit_exceeded',
          ),
        5,
      );
      gateway.child.kill('SIGKILL');
      await once(gateway.child, 'exit');
      gateway = await start();
      expect(await spendOf('survivor')).toEqual(before);
      expect((await ask(key)).usage?.completion_tokens).toBe(8);
    },
    START_MILLISECONDS,
  );
});

describe('secrets and prompts', () => {
  it('are in no log, metric or error', async () => {
    const secret = `plk_${CANARY}${'s'.repeat(43 - CANARY.length)}`;
    await cli('tenants', 'create', 'quiet', '--name', 'a tenant');
    const { key } = await newKey('quiet', '--alias', 'quiet-one');
    const told: string[] = [];
    for (const [path, method, authorization, body] of [
      ['/v1/models', 'GET', `Bearer ${secret}`, undefined],
      [`/v1/models/${CANARY}?x=${CANARY}`, 'GET', `Basic ${secret}`, undefined],
      [
        '/v1/chat/completions',
        'POST',
        `Bearer ${secret}`,
        { model: 'base', messages: [{ role: 'user', content: CANARY }] },
      ],
      [
        '/v1/chat/completions',
        'POST',
        `Bearer ${key}`,
        {
          model: 'base',
          messages: [{ role: 'user', content: CANARY }],
          max_tokens: 4,
          user: CANARY,
          metadata: { note: CANARY },
        },
      ],
      [
        '/v1/chat/completions',
        'POST',
        `Bearer ${key}`,
        { model: 'base', messages: [{ role: 'user', content: CANARY.repeat(4_000) }] },
      ],
      [
        '/v1/completions',
        'POST',
        `Bearer ${key}`,
        { model: 'base', prompt: CANARY, max_tokens: 4, stream: true },
      ],
      [
        '/v1/responses',
        'POST',
        `Bearer ${key}`,
        {
          ...{ model: 'base', input: CANARY, instructions: CANARY, metadata: { note: CANARY } },
          ...{ max_output_tokens: 4, prompt_cache_key: CANARY, safety_identifier: CANARY },
        },
      ],
      [
        '/v1/chat/completions',
        'POST',
        `Bearer ${key}`,
        {
          ...{ model: 'base', cache_salt: CANARY, max_tokens: 40, stop: [CANARY] },
          messages: [{ role: 'user', content: CANARY, name: CANARY }],
          response_format: {
            type: 'json_schema',
            json_schema: { name: 'x', schema: { enum: [CANARY], description: CANARY } },
          },
        },
      ],
      [
        '/v1/chat/completions',
        'POST',
        `Bearer ${key}`,
        {
          ...{ model: 'base', max_tokens: 4, guided_choice: [CANARY] },
          messages: [{ role: 'user', content: 'x' }],
        },
      ],
      ['/v1/embeddings', 'POST', `Bearer ${key}`, { model: 'base', input: CANARY }],
      ['/tokenize', 'POST', `Bearer ${key}`, { model: 'base', prompt: CANARY }],
      ['/key/block', 'POST', `Bearer ${operator}`, { key: secret }],
      ['/key/generate', 'POST', `Bearer ${operator}`, { key: secret }],
      ['/admin/v1/keys', 'POST', `Bearer ${secret}`, { alias: 'x' }],
      ['/admin/v1/sources/hub/token', 'PUT', `Bearer ${operator}`, { token: `hf_${CANARY}` }],
      ['/admin/v1/sources/hub/token', 'PUT', `Bearer ${operator}`, { token: CANARY }],
    ] as const) {
      const response = await fetch(`${gateway.url}${path}`, {
        method,
        headers: { authorization, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      // An answer may repeat a name that was asked for; an error about a key repeats none.
      if (!path.startsWith('/v1/models/') && response.status >= 400) told.push(text);
    }
    await ask(key);
    await sleep(500);
    const metrics = await fetch(`${gateway.url}/metrics`, {
      headers: { authorization: `Bearer ${operator}` },
    });
    expect(metrics.status).toBe(200);
    const written = [...told, gateway.output.stderr, gateway.output.stdout, await metrics.text()];
    for (const text of written) {
      expect(text).not.toContain(CANARY);
      for (const each of [operator, key]) expect(text).not.toContain(each.slice(12));
    }
    expect(gateway.output.stderr).toContain('"tenant":"quiet"');
  }, 60_000);

  it(
    'are in none of them either where an upstream repeats its key in what it refuses',
    async () => {
      const key = `sk-${CANARY}`;
      const upstream = await startRepeating(key);
      const front = await startGateway({
        adapters: null,
        args: ['--upstream', upstream.url, '--embedding-model', 'none', '--log-level', 'debug'],
        env: { POLYLORA_UPSTREAM_KEY: key },
      });
      try {
        const told: string[] = [];
        for (const status of [401, 403, 400, 404, 422, 500, 200]) {
          for (const stream of [false, true]) {
            const response = await fetch(`${front.url}/v1/completions`, {
              method: 'POST',
              headers: { 'content-type': 'application/json' },
              body: JSON.stringify({ model: 'repeating', prompt: `${status}`, stream }),
            });
            told.push(await response.text());
          }
        }
        const lines = () => front.logs().filter((line) => line.includes('"route":"/v1/completions"'));
        await until(() => lines().length === told.length);
        expect(told.join()).toContain('"code":"invalid_value"');
        expect(front.output.stderr).toContain('the upstream refuses the key (401)');
        for (const text of [...told, front.output.stderr, front.output.stdout])
          expect(text).not.toContain(CANARY);
      } finally {
        await front.stop();
        upstream.close();
      }
    },
    START_MILLISECONDS,
  );
});

/** A server that lists a model, and answers with the status that a prompt asks for and the key that it was sent. */
async function startRepeating(key: string): Promise<{ url: string; close(): void }> {
  const message = `Incorrect API key provided: ${key}.`;
  const server = createServer(async (request, response) => {
    expect(request.headers.authorization).toBe(`Bearer ${key}`);
    if (request.method === 'GET') {
      response.end(JSON.stringify({ object: 'list', data: [{ id: 'repeating', object: 'model' }] }));
      return;
    }
    const { prompt, stream } = JSON.parse(await text(request));
    const error = JSON.stringify({
      error: { message, type: 'invalid_request_error', code: 'invalid_value' },
    });
    response.writeHead(Number(prompt));
    response.end(prompt === '200' && stream ? `data: ${error}\n\n` : error);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => void server.close(),
  };
}
