import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createSocketServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES } from '../support/engine.ts';
import { type Gateway, launch, metric, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';

const TINY = join(FIXTURES, 'models', 'llama');
/** The tiny model's answers are noise: a low temperature is as good as any. */
const CHAT = { messages: [{ role: 'user' as const, content: 'Hi there' }], max_tokens: 20 };

let direct: Gateway;
let front: Gateway;

function startDirect(port = '0'): Promise<Gateway> {
  const tiny = ['--model', TINY, '--weights', 'f32', '--pool-megabytes', '64', '--max-running', '4'];
  return startGateway({ adapters: TINY, args: ['--port', port, '--max-queued', '4', ...tiny] });
}

function startFront(upstream: string, args: readonly string[] = []): Promise<Gateway> {
  return startGateway({
    adapters: null,
    args: ['--upstream', upstream, '--embedding-model', 'none', ...args],
  });
}

beforeAll(async () => {
  direct = await startDirect();
  front = await startFront(direct.url);
}, START_MILLISECONDS);
afterAll(async () => {
  await front?.stop();
  await direct?.stop();
});

/** What a route answers, without what belongs to each answer alone. */
async function answered(gateway: Gateway, path: string, body: object): Promise<unknown> {
  const response = await fetch(`${gateway.url}/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  const objects = text.startsWith('data: ')
    ? text.split('\n\n').flatMap((event) => (event.startsWith('data: {') ? [JSON.parse(event.slice(6))] : []))
    : [JSON.parse(text)];
  for (const object of objects) for (const own of ['id', 'created', 'system_fingerprint']) delete object[own];
  return { status: response.status, objects, isDone: text.endsWith('data: [DONE]\n\n') };
}

describe('answers through another server', () => {
  it('come from the models that it has', async () => {
    const [theirs, ours] = await Promise.all([direct, front].map(({ client }) => client.models.list()));
    expect(ours?.data).toEqual(theirs?.data);
    expect((await front.client.models.retrieve('base')).id).toBe('llama');
  });

  it.each<[string, string, object]>([
    ['a chat', 'chat/completions', { ...CHAT, model: 'base', temperature: 0 }],
    ['an adapter', 'chat/completions', { ...CHAT, model: 'adapter', temperature: 0 }],
    [
      'several choices, drawn by a seed',
      'chat/completions',
      { ...CHAT, model: 'adapter', n: 3, seed: 11, temperature: 1.2, top_p: 0.9, top_k: 40, min_p: 0.01 },
    ],
    [
      'penalties, biases and stops',
      'chat/completions',
      {
        ...CHAT,
        model: 'base',
        temperature: 0,
        presence_penalty: 1,
        frequency_penalty: 0.5,
        repetition_penalty: 1.2,
        logit_bias: { 40: 8 },
        stop: ['name'],
        min_tokens: 3,
        ignore_eos: true,
      },
    ],
    [
      'logprobs',
      'chat/completions',
      { ...CHAT, model: 'base', temperature: 0, logprobs: true, top_logprobs: 3 },
    ],
    [
      'an object by a schema',
      'chat/completions',
      {
        ...CHAT,
        model: 'base',
        temperature: 0,
        response_format: {
          type: 'json_schema',
          json_schema: {
            name: 'a',
            schema: { type: 'object', properties: { n: { enum: [1, 2] } }, required: ['n'] },
          },
        },
      },
    ],
    [
      'one of some words',
      'chat/completions',
      { ...CHAT, model: 'base', guided_choice: ['red', 'green'], seed: 1 },
    ],
    [
      'JSON by vLLM’s field',
      'completions',
      { model: 'base', prompt: 'a', guided_json: { enum: ['red'] }, seed: 1 },
    ],
    ['a text', 'completions', { model: 'base', prompt: 'Once', temperature: 0, max_tokens: 12 }],
    [
      'several prompts',
      'completions',
      { model: 'base', prompt: ['Once', 'Twice'], n: 2, seed: 5, max_tokens: 8 },
    ],
    ['ids with logprobs', 'completions', { model: 'base', prompt: [5, 6, 7], temperature: 0, logprobs: 2 }],
    ['hidden states', 'embeddings', { model: 'adapter', input: ['Once', 'Twice upon'], dimensions: 9 }],
    ['hidden states in base64', 'embeddings', { model: 'base', input: [5, 6, 7], encoding_format: 'base64' }],
    ['texts that are cut', 'embeddings', { model: 'base', input: 'a b c d e f', truncate_prompt_tokens: 3 }],
    ['a text that is too long for a vector', 'embeddings', { model: 'base', input: 'word '.repeat(2000) }],
    ['an echo', 'completions', { model: 'base', prompt: 'Once', echo: true, temperature: 0 }],
    ['an echo of ids', 'completions', { model: 'base', prompt: [50, 60], echo: true, temperature: 0 }],
    [
      'an echo with logprobs',
      'completions',
      { model: 'base', prompt: 'Once upon', echo: true, logprobs: 2, temperature: 0, max_tokens: 0 },
    ],
  ])('are the same, byte for byte: %s', async (_, path, body) => {
    expect(await answered(front, path, body)).toEqual(await answered(direct, path, body));
  });

  it.each([false, true])('call tools alike (stream: %s)', async (stream) => {
    const tool = { name: 'pick' };
    const asked = { model: 'base', temperature: 0, max_tokens: 100, stream, tool_choice: 'required' };
    const messages = [{ role: 'user', content: 'a' }];
    const body = { ...asked, messages, tools: [{ type: 'function', function: tool }] };
    const [ours, theirs] = [
      await answered(front, 'chat/completions', body),
      await answered(direct, 'chat/completions', body),
    ].map((answer) => JSON.stringify(answer).replaceAll(/"id":"[^"]*"/g, '"id":""'));
    expect(ours).toBe(theirs);
    expect(ours).toContain('"name":"pick"');
  });

  it('are streamed token by token, with usage at the end', async () => {
    const body = { ...CHAT, model: 'adapter', temperature: 0, stream: true, logprobs: true };
    const asked = { ...body, stream_options: { include_usage: true } };
    const [ours, theirs] = [
      await answered(front, 'chat/completions', asked),
      await answered(direct, 'chat/completions', asked),
    ];
    expect(ours).toEqual(theirs);
    expect(ours).toMatchObject({ status: 200, isDone: true });
  });

  it.each<[string, string, object]>([
    ['a prompt that is too long', 'completions', { model: 'base', prompt: 'word '.repeat(600) }],
    ['an id beyond the vocabulary', 'completions', { model: 'base', prompt: [5000] }],
    ['a model that is not there', 'completions', { model: 'nobody', prompt: 'a' }],
    ['a field of the wrong type', 'chat/completions', { ...CHAT, model: 'base', temperature: 'hot' }],
  ])('tell the same mistakes: %s', async (_, path, body) => {
    const [ours, theirs] = await Promise.all([answered(front, path, body), answered(direct, path, body)]);
    const { status, objects } = theirs as { status: number; objects: [{ error: { code: string } }] };
    expect(ours).toMatchObject({ status, objects: [{ error: { code: objects[0].error.code } }] });
  });

  it('do not mix adapters by weights', async () => {
    const mixed = { ...CHAT, model: 'base', adapters: [{ name: 'adapter', weight: 0.5 }] };
    expect(await answered(front, 'chat/completions', mixed)).toMatchObject({
      status: 400,
      objects: [{ error: { code: 'unsupported_parameter', param: 'adapters' } }],
    });
  });

  it('are measured by what the upstream counted', async () => {
    const before = await metric(front, 'vllm:generation_tokens_total');
    const prompts = await metric(front, 'vllm:prompt_tokens_total');
    const { usage } = await front.client.chat.completions.create({
      ...CHAT,
      model: 'base',
      ignore_eos: true,
    } as never);
    const stream = await front.client.chat.completions.create({
      ...CHAT,
      model: 'base',
      stream: true,
      ignore_eos: true,
    } as never);
    for await (const _ of stream as unknown as AsyncIterable<unknown>);
    expect(await metric(front, 'vllm:generation_tokens_total')).toBe(before + 40);
    expect(await metric(front, 'vllm:prompt_tokens_total')).toBe(prompts + 2 * (usage?.prompt_tokens ?? 0));
    expect(await metric(front, 'polylora_engine_ready')).toBe(1);
  });
});

describe('what only an engine has', () => {
  it('is told to be elsewhere', async () => {
    const guarded = await startFront(direct.url, ['--operator-key', 'a-key-of-the-operator']);
    try {
      const response = await fetch(`${guarded.url}/admin/v1/adapters`, {
        headers: { authorization: 'Bearer a-key-of-the-operator' },
      });
      expect(response.status).toBe(501);
      expect(await response.json()).toMatchObject({ error: { code: 'adapters_elsewhere' } });
      // What was done on this server is its own.
      const log = await fetch(`${guarded.url}/admin/v1/audit`, {
        headers: { authorization: 'Bearer a-key-of-the-operator' },
      });
      expect([log.status, await log.json()]).toMatchObject([200, { object: 'list', data: [] }]);
    } finally {
      await guarded.stop();
    }
  });

  it('is refused in the configuration', async () => {
    const { exited, output } = launch(['serve', '--upstream', direct.url, '--adapters', TINY]);
    expect(await exited).toBe(2);
    expect(output.stderr).toContain('adapters (from --adapters)');
  });
});

describe('a client that leaves', () => {
  it.each([true, false])('ends its request at the upstream (stream: %s)', async (stream) => {
    const controller = new AbortController();
    const body = { ...CHAT, model: 'base', max_tokens: 480, ignore_eos: true, n: 4, stream };
    const id = `leaves-${stream}`;
    const answer = fetch(`${front.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': id },
      body: JSON.stringify(body),
      signal: controller.signal,
    });
    const left = expect(answer.then((response) => response.text())).rejects.toThrow();
    const aborted = 'vllm:request_success_total{model_name="llama",finished_reason="abort"}';
    const before = await metric(direct, aborted);
    await until(async () => (await metric(direct, 'vllm:num_requests_running')) > 0);
    controller.abort();
    await left;
    await until(async () => (await metric(direct, aborted)) === before + 4);
    await until(async () => (await metric(direct, 'vllm:num_requests_running')) === 0);
    // What was computed for it is not free.
    // Not the line that says that a stream ended early.
    const isRequest = (each: string) =>
      each.includes(`"requestId":"${id}"`) && each.includes('"msg":"request"');
    const line = () => front.logs().find(isRequest) ?? '';
    await until(() => line() !== '');
    expect(JSON.parse(line())).toMatchObject({ stream, usage: { prompt_tokens: expect.any(Number) } });
    expect(JSON.parse(line()).usage.prompt_tokens).toBeGreaterThan(0);
  });
});

describe('an upstream that is overloaded', () => {
  it('is passed on with its time to come back', async () => {
    const many = Array.from({ length: 24 }, () =>
      fetch(`${front.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'base', prompt: 'a', max_tokens: 400, ignore_eos: true }),
      }),
    );
    const refused = (await Promise.all(many)).filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(0);
    for (const { headers } of refused) {
      expect(Number(headers.get('retry-after-ms'))).toBeGreaterThan(0);
      expect(headers.get('x-should-retry')).toBe('true');
    }
  });
});

describe('an upstream that breaks', () => {
  it('and comes back is there again by itself', async () => {
    const upstream = await startDirect();
    const port = new URL(upstream.url).port;
    const gateway = await startFront(upstream.url);
    try {
      const body = { ...CHAT, model: 'base', max_tokens: 480, ignore_eos: true, n: 4, stream: true } as const;
      const stream = await gateway.client.chat.completions.create(body as never);
      upstream.child.kill('SIGKILL');
      await upstream.exited;
      // After the first byte an event with an error, and nothing of it again.
      const read = async () => {
        for await (const _ of stream as unknown as AsyncIterable<unknown>);
      };
      await expect(read()).rejects.toMatchObject({ code: 'engine_unavailable' });
      const refused = await gateway.client.chat.completions
        .create({ ...CHAT, model: 'base' })
        .catch((e: unknown) => e);
      expect(refused).toBeInstanceOf(OpenAI.InternalServerError);
      expect(refused).toMatchObject({ status: 503, code: 'engine_unavailable' });
      if (refused instanceof OpenAI.APIError) expect(refused.headers?.get('retry-after')).toBe('1');
      await until(async () => (await fetch(`${gateway.url}/readyz`)).status === 503);
      expect(await (await fetch(`${gateway.url}/readyz`)).json()).toEqual({
        status: 'waiting',
        upstream: 'away',
      });
      const told = await gateway.client.chat.completions.create({ ...CHAT, model: 'base' }).catch(String);
      expect(told).toMatch(/the upstream\) does not answer/);
      expect(told).not.toContain(port);

      const again = await startDirect(port);
      try {
        await until(async () => (await fetch(`${gateway.url}/readyz`)).ok, 20);
        const answer = await gateway.client.chat.completions.create({ ...CHAT, model: 'base' });
        expect(answer.choices).toHaveLength(1);
      } finally {
        await again.stop();
      }
    } finally {
      await gateway.stop();
      await upstream.stop();
    }
  }, 120_000);

  it('that refuses the key is told at the start', async () => {
    const store = await mkdtemp(join(tmpdir(), 'polylora-refused-'));
    const server = createServer((_, response) => response.writeHead(401).end());
    const url = await listening(server);
    const { exited, output } = launch(
      ['serve', '--port', '0', '--upstream', url, '--upstream-key', 'secret-of-the-upstream'],
      { POLYLORA_STORE: store },
    );
    expect(await exited).toBe(1);
    expect(output.stderr).toContain('upstreamKey');
    expect(output.stderr + output.stdout).not.toContain('secret-of-the-upstream');
    server.close();
    await rm(store, { recursive: true });
  });

  it.each<[string, string]>([
    ['before the first byte', ''],
    ['in the middle of the head', 'HTTP/1.1 200 OK\r\ncontent-'],
    ['in the middle of an answer', 'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"choices":'],
    ['with noise', 'SSH-2.0-OpenSSH_9.7\r\n'],
    ['with an answer that is none', 'HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>'],
    ['with a proxy’s page', 'HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\n\r\n<html>'],
  ])('%s is a 503 that may be tried again', async (_, bytes) => {
    const broken = await startBroken(bytes);
    const gateway = await startFront(broken.url);
    try {
      for (const stream of [false, true]) {
        const response = await fetch(`${gateway.url}/v1/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ model: 'broken', prompt: 'a', stream }),
        });
        const text = await response.text();
        expect(text).toContain('"code":"engine_unavailable"');
        expect(text).not.toContain('127.0.0.1');
        if (response.status !== 200) expect(response.status).toBe(503);
        expect(text).not.toContain('[DONE]');
      }
    } finally {
      await gateway.stop();
      broken.close();
    }
  });
});

it('an upstream that sends a line without an end is left, with an event that says so', async () => {
  let left = false;
  const server = createServer(async (request, response) => {
    if (request.method === 'GET') {
      response.end(JSON.stringify({ object: 'list', data: [{ id: 'endless', object: 'model' }] }));
      return;
    }
    const endless = function* () {
      for (;;) yield Buffer.alloc(64 << 10, 'x');
    };
    await pipeline(endless, response).catch(() => {
      left = true;
    });
  });
  const gateway = await startFront(await listening(server));
  try {
    const response = await fetch(`${gateway.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'endless', prompt: 'a', stream: true }),
      signal: AbortSignal.timeout(20_000),
    });
    expect(await response.text()).toContain('"code":"engine_unavailable"');
    await until(() => left);
    await until(() => gateway.logs().some((line) => line.includes('event without an end')));
  } finally {
    await gateway.stop();
    server.close();
  }
});

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A server that lists a model, and answers every other request with these bytes and the connection's end. */
async function startBroken(bytes: string): Promise<{ url: string; close(): void }> {
  const list = JSON.stringify({ object: 'list', data: [{ id: 'broken', object: 'model' }] });
  const sockets = new Set<Socket>();
  const server = createSocketServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (data) => {
      if (data.toString().startsWith('GET /v1/models')) {
        socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${list.length}\r\nconnection: close\r\n\r\n${list}`);
      } else socket.end(bytes);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
