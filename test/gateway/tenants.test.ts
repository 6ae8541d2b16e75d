/** What tenants, told apart by their API keys, see of each other: nothing, and fair shares. */
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, metric, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';

const SYSTEM = Array.from({ length: 60 }, (_, index) => `Rule ${index}: answer politely.`).join(' ');

describe('tenants', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ args: ['--max-running', '8'] });
  }, START_MILLISECONDS);
  afterAll(() => gateway.stop());

  const clientOf = (apiKey: string) => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });

  function ask(apiKey: string, fields: Record<string, unknown> = {}) {
    return clientOf(apiKey).chat.completions.create({
      model: 'base',
      messages: [
        { role: 'system', content: SYSTEM },
        { role: 'user', content: 'Hello?' },
      ],
      max_tokens: 4,
      temperature: 0,
      ...fields,
    } as OpenAI.ChatCompletionCreateParamsNonStreaming);
  }

  it('find the beginnings of their own prompts only, and with the same answer', async () => {
    const cached = async (apiKey: string, fields = {}) => {
      const { usage, choices } = await ask(apiKey, fields);
      return { tokens: usage?.prompt_tokens_details?.cached_tokens, text: choices[0]?.message.content };
    };
    const first = await cached('key-a');
    expect(first.tokens).toBe(0);
    const again = await cached('key-a');
    expect(again.tokens).toBeGreaterThan(300);
    expect(again.text).toBe(first.text);
    expect((await cached('key-b')).tokens).toBe(0);
    expect((await cached('key-a', { cache_salt: 'other' })).tokens).toBe(0);
    expect((await cached('key-a', { model: 'pirate' })).tokens).toBe(0);
    expect(await metric(gateway, 'vllm:prefix_cache_hits_total')).toBe(again.tokens);
  });

  it('are never written with their keys', async () => {
    const seen = () =>
      new Set(gateway.logs().flatMap((line) => /"tenant":"key-[0-9a-f]{12}"/.exec(line) ?? [])).size;
    const before = seen();
    await ask('sk-canary-in-a-key');
    const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
    expect(metrics).not.toContain('canary');
    await until(() => seen() > before);
    expect(gateway.logs().join('\n')).not.toContain('canary');
  });

  it('are served while another fills the machine', async () => {
    const long = { max_tokens: 120, ignore_eos: true };
    const greedy = Array.from({ length: 24 }, () => ask('key-greedy', long).catch(() => null));
    await expect.poll(() => metric(gateway, 'vllm:num_requests_running'), { timeout: 20_000 }).toBe(8);
    let done = 0;
    for (const each of greedy) void each.then(() => done++);
    for (let request = 0; request < 3; request++) {
      const answer = await ask('key-modest', { max_tokens: 3 });
      expect(answer.choices[0]?.finish_reason).toBe('length');
    }
    // First come, first served would have answered most of the others before.
    expect(done).toBeLessThan(8);
    const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
    expect(metrics).toMatch(/polylora_tenant_sequences\{tenant="key-[0-9a-f]{12}"\} [1-9]/);
    await expect(ask('key-greedy', { timeout: 0.5 })).rejects.toMatchObject({
      status: 429,
      code: 'deadline_exceeded',
    });
    expect((await ask('key-modest', { service_tier: 'flex', max_tokens: 1 })).choices).toHaveLength(1);
    await Promise.all(greedy);
  }, 240_000);

  it.each([
    [{ service_tier: 'gold' }, 'service_tier', 'invalid_value'],
    [{ cache_salt: '' }, 'cache_salt', 'empty_string'],
    [{ cache_salt: 'x'.repeat(257) }, 'cache_salt', 'string_above_max_length'],
    [{ category: 7 }, 'category', 'invalid_type'],
    [{ category: 'x'.repeat(65) }, 'category', 'string_above_max_length'],
    [{ timeout: 0 }, 'timeout', 'decimal_below_min_value'],
    [{ timeout: 'soon' }, 'timeout', 'invalid_type'],
  ])('are told what is wrong with %j', async (fields, param, code) => {
    await expect(ask('key-a', fields)).rejects.toMatchObject({ status: 400, param, code });
  });
});
