import { connect } from 'node:net';
import { text as textOf } from 'node:stream/consumers';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, metric, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';

const ADAPTERS = ['headline', 'pirate', 'support-triage', 'text-to-sql'];
const BASE = 'HuggingFaceTB/SmolLM2';
/** A sequence that runs until its client leaves. */
const ENDLESS = { temperature: 0, max_tokens: 4000, ignore_eos: true } as const;

let gateway: Gateway;
let client: OpenAI;
beforeAll(async () => {
  gateway = await startGateway({
    args: ['--served-model-name', BASE, '--max-running', '2', '--max-queued', '2'],
    env: { POLYLORA_REQUEST_BODY_LIMIT_BYTES: '2000000' },
  });
  client = gateway.client;
}, START_MILLISECONDS);
afterAll(() => gateway?.stop());

function post(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<Response> {
  const url = `${gateway.url}/v1/chat/completions`;
  return fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
}

function endless(words = 'Count for ever.') {
  const messages = [{ role: 'user' as const, content: words }];
  return client.chat.completions.create({ model: 'base', messages, stream: true, ...ENDLESS });
}

describe('the list of models', () => {
  it('has the base model and its adapters, with vLLM’s root and parent', async () => {
    const models = await client.models.list();
    expect(models.data.map(({ id }) => id)).toEqual([BASE, ...ADAPTERS, 'all-MiniLM-L6-v2']);
    const [base, headline] = models.data;
    expect(base).toMatchObject({ object: 'model', owned_by: 'polylora', parent: null, max_model_len: 8192 });
    expect(headline).toMatchObject({ parent: BASE, root: expect.stringMatching(/^[0-9a-f]{64}$/) });
    for (const { created } of models.data) expect(created).toBeLessThanOrEqual(Date.now() / 1000);
  });

  it('gives one model by name, slashes and alias included', async () => {
    expect((await client.models.retrieve('pirate')).id).toBe('pirate');
    expect((await client.models.retrieve(BASE)).id).toBe(BASE);
    expect((await client.models.retrieve('base')).id).toBe(BASE);
    expect((await fetch(`${gateway.url}/v1/models/${BASE}`)).status).toBe(200);
    await expect(client.models.retrieve('nobody')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });
});

describe('a body that is not a request', () => {
  it.each([
    ['text that is not JSON', '{"model":', 400, 'invalid_json'],
    ['bytes that are not UTF-8', Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 400, 'invalid_json'],
    ['JSON nested ten thousand levels deep', '{"a":'.repeat(10_000), 400, 'json_too_deep'],
    ['three megabytes', ' '.repeat(3_000_000), 413, 'request_too_large'],
    ['a million choices', '{"model":"base","messages":[],"n":1000000}', 400, 'empty_array'],
  ])('is refused quickly: %s', async (_, body, status, code) => {
    const began = performance.now();
    const response = await post(body);
    expect(performance.now() - began).toBeLessThan(1000);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code, type: 'invalid_request_error' } });
  });

  it('is refused where it is not declared as JSON', async () => {
    expect((await post('{}', { 'content-type': 'text/plain' })).status).toBe(415);
  });

  it('is refused beyond the limit when its length is not announced', async () => {
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(100_000).fill(0x20)),
    });
    const request = { method: 'POST', body, duplex: 'half', headers: { 'content-type': 'application/json' } };
    const response = await fetch(`${gateway.url}/v1/chat/completions`, request as RequestInit);
    expect(response.status).toBe(413);
  });

  it.each([
    [
      'huge headers',
      `GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    ['noise', 'hello\r\n\r\n', 400, 'malformed_http'],
    ['a host that is none', 'GET / HTTP/1.1\r\nhost: a b\r\n\r\n', 400, 'malformed_http'],
  ])('is refused where it is not HTTP: %s', async (_, bytes, status, code) => {
    const { hostname, port } = new URL(gateway.url);
    const socket = connect(Number(port), hostname);
    socket.write(bytes);
    const answer = await textOf(socket.setTimeout(2000, () => socket.end()));
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer).toContain(`"code":"${code}"`);
  });
});

describe('load', () => {
  it('beyond what may run and wait is refused with a time to come back', async () => {
    const streams = await Promise.all(['a', 'b'].map(endless));
    const waiting = ['c', 'd'].map((words) => {
      const controller = new AbortController();
      const body = { model: 'base', messages: [{ role: 'user' as const, content: words }], ...ENDLESS };
      client.chat.completions.create(body, { signal: controller.signal }).catch(() => {});
      return controller;
    });
    await until(async () => (await metric(gateway, 'vllm:num_requests_waiting')) === 2);
    const refused = await endless().catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(OpenAI.RateLimitError);
    expect(refused).toMatchObject({ status: 429, code: 'engine_overloaded' });
    expect(refused).toHaveProperty('headers');
    if (refused instanceof OpenAI.APIError) {
      expect(refused.headers?.get('retry-after')).toBe('1');
      expect(refused.headers?.get('x-should-retry')).toBe('true');
    }
    for (const { controller } of streams) controller.abort();
    for (const controller of waiting) controller.abort();
    await until(async () => (await metric(gateway, 'vllm:num_requests_running')) === 0);
    expect(await metric(gateway, 'polylora_pool_pages{kind="kv"}')).toBe(0);
  });

  it('that can never fit is a mistake in the request', async () => {
    const messages = [{ role: 'user' as const, content: 'Hi' }];
    await expect(client.chat.completions.create({ model: 'base', messages, n: 5 })).rejects.toMatchObject({
      status: 400,
      param: 'n',
    });
  });
});

describe('a client that leaves', () => {
  it('frees its pages within a step or two, before its first token and after', async () => {
    const aborts = await metric(gateway, ABORTED);
    const stream = await endless();
    let pieces = 0;
    for await (const _ of stream) if (++pieces === 5) break;
    await until(async () => (await metric(gateway, 'polylora_pool_pages{kind="kv"}')) === 0, 2);

    const controller = new AbortController();
    const body = { model: 'pirate', messages: [{ role: 'user' as const, content: 'Hi' }], ...ENDLESS };
    const answer = client.chat.completions.create(body, { signal: controller.signal });
    await until(async () => (await metric(gateway, 'vllm:num_requests_running')) === 1);
    controller.abort();
    await expect(answer).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
    await until(async () => (await metric(gateway, 'polylora_pool_pages{kind="kv"}')) === 0, 2);
    await until(async () => (await metric(gateway, ABORTED)) === aborts + 2, 2);
  });
});

const ABORTED = `vllm:request_success_total{model_name="${BASE}",finished_reason="abort"}`;

describe('metrics and logs', () => {
  it('count tokens, times and adapters under vLLM’s names', async () => {
    const label = `{model_name="${BASE}"}`;
    const before = await metric(gateway, `vllm:generation_tokens_total${label}`);
    const stream = await client.chat.completions.create({
      model: 'pirate',
      messages: [{ role: 'user', content: 'Hi' }],
      stream: true,
      ...ENDLESS,
    });
    await until(async () => (await metric(gateway, `vllm:generation_tokens_total${label}`)) > before + 3);
    const text = await (await fetch(`${gateway.url}/metrics`)).text();
    expect(text).toMatch(
      /vllm:lora_requests_info\{max_lora="2",running_lora_adapters="pirate",waiting_lora_adapters=""\} 1\d+/,
    );
    expect(text).toContain(`vllm:num_requests_running${label} 1`);
    const pages = [...text.matchAll(/^polylora_pool_pages\{kind="\w+"\} (\d+)$/gm)];
    const total = pages.reduce((sum, [, count]) => sum + Number(count), 0);
    expect(text).toContain(`vllm:cache_config_info{block_size="16",num_gpu_blocks="${total}"} 1`);
    for (const end of [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, '+Inf'])
      expect(text).toMatch(
        new RegExp(`^vllm:iteration_tokens_total_bucket\\{.*le="${`${end}`.replace('+', '\\+')}"`, 'm'),
      );
    stream.controller.abort();
    // What it says again is guessed.
    await client.chat.completions.create({
      model: 'base',
      messages: [
        { role: 'user', content: 'Repeat word for word: a cat, a dog, a cow, a cat, a dog, a cow.' },
      ],
      max_tokens: 40,
      temperature: 0,
    });
    for (const name of [
      'vllm:time_to_first_token_seconds_count',
      'vllm:e2e_request_latency_seconds_count',
      'vllm:request_prompt_tokens_count',
      'vllm:request_generation_tokens_count',
      'vllm:inter_token_latency_seconds_count',
      'vllm:request_time_per_output_token_seconds_count',
      'vllm:prompt_tokens_total',
      'vllm:spec_decode_num_draft_tokens_total',
      'vllm:spec_decode_num_accepted_tokens_total',
    ]) {
      expect(await metric(gateway, name + label), name).toBeGreaterThan(0);
    }
    expect(await metric(gateway, 'polylora_adapter_loads_total')).toBeGreaterThan(0);
  });

  it('never hold what a client said or was told', async () => {
    const canary = 'xylophone-7731';
    const answer = await client.chat.completions.create(
      {
        model: 'base',
        messages: [{ role: 'user', content: `Repeat: ${canary}` }],
        user: canary,
        max_tokens: 5,
      },
      { headers: { 'x-request-id': 'seen-in-the-log' } },
    );
    await client.chat.completions
      .create({ model: canary, messages: [{ role: 'user', content: 'Hi' }] })
      .catch(() => {});
    await fetch(`${gateway.url}/v1/models/${canary}?${canary}`, { headers: { authorization: canary } });
    await until(() => gateway.logs().some((line) => line.includes('seen-in-the-log')));
    const line = gateway.logs().find((candidate) => candidate.includes('seen-in-the-log')) ?? '';
    expect(JSON.parse(line)).toMatchObject({
      requestId: 'seen-in-the-log',
      route: '/v1/chat/completions',
      status: 200,
      model: BASE,
    });
    const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
    for (const written of [gateway.output.stderr, gateway.output.stdout, metrics]) {
      expect(written).not.toContain(canary);
      expect(written).not.toContain(answer.choices[0]?.message.content);
    }
  });
});
