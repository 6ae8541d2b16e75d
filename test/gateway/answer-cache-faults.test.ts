/** The answer cache when the backend fails, its store is away, and where two servers share it. */
import { mkdtempSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Door, startDoor } from '../support/door.ts';
import { type Gateway, metric, startGateway, until } from '../support/gateway.ts';
import { HAS_REDIS, type RedisServer, startRedis } from '../support/redis.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';

const folder = mkdtempSync(join(tmpdir(), 'polylora-cache-faults-'));
let upstream: TestUpstream;
/** What the upstream does with each request. */
let answer: (response: ServerResponse) => unknown;
const gateways: Gateway[] = [];

beforeAll(async () => {
  upstream = await startUpstream(2048, (response) => void answer(response));
});
beforeEach(() => {
  answer = (response) => says(response, 'an answer');
});
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  await upstream.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(...args: string[]): Promise<Gateway> {
  const data = join(folder, `data-${gateways.length}`);
  const gateway = await startGateway({
    adapters: null,
    args: ['--upstream', upstream.url, '--cache', 'exact', '--data-directory', data, ...args],
  });
  gateways.push(gateway);
  return gateway;
}

function says(response: ServerResponse, content: string): void {
  const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }];
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ choices, usage: { prompt_tokens: 3, completion_tokens: 2 } }));
}

let questions = 0;
const fresh = () => `question ${++questions}`;

async function ask(gateway: Gateway, question: string) {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      ...{ model: 'base', temperature: 0, max_tokens: 5 },
      messages: [{ role: 'user', content: question }],
    }),
  });
  const body = (await response.json()) as { choices?: { message: { content: string } }[] };
  return {
    status: response.status,
    state: response.headers.get('x-polylora-cache') ?? '',
    content: body.choices?.[0]?.message.content,
  };
}

describe('a backend that fails', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await start();
  });

  it('has nothing kept of it, and nobody else fails for it who can be answered', async () => {
    const question = fresh();
    let calls = 0;
    answer = async (response) => {
      calls += 1;
      const isFirst = calls === 1;
      await sleep(200);
      if (isFirst) response.writeHead(400).end(JSON.stringify({ error: { message: 'no', code: 'x' } }));
      else says(response, 'at last');
    };
    const [first, ...others] = await Promise.all([
      ask(gateway, question),
      sleep(50).then(() => ask(gateway, question)),
      sleep(60).then(() => ask(gateway, question)),
    ]);
    expect(first?.status).toBe(400);
    for (const { status, content } of others) expect([status, content]).toEqual([200, 'at last']);
    expect((await ask(gateway, question)).state).toMatch(/^hit/);
  });

  it('that answers nothing at all has nothing kept', async () => {
    const question = fresh();
    answer = (response) => says(response, '');
    expect((await ask(gateway, question)).state).toMatch(/^miss/);
    expect((await ask(gateway, question)).state).toMatch(/^miss/);
  });

  it('is asked again where it broke off', async () => {
    const question = fresh();
    answer = (response) => {
      response.setHeader('content-length', '1000');
      response.write('{"choices": [');
      setTimeout(() => response.destroy(), 50);
    };
    expect((await ask(gateway, question)).status).toBeGreaterThanOrEqual(500);
    answer = (response) => says(response, 'whole');
    expect(await ask(gateway, question)).toMatchObject({ status: 200, content: 'whole' });
  });
});

it('how long answers wait before another server is told, also of those that come whole', async () => {
  const gateway = await start();
  for (let i = 0; i < 5; i++) await ask(gateway, fresh());
  expect(await metric(gateway, 'polylora_cache_wait_seconds')).toBeLessThan(0.2);
  answer = (response) => setTimeout(() => says(response, 'late'), 1_500);
  await Promise.all([ask(gateway, fresh()), ask(gateway, fresh())]);
  expect(await metric(gateway, 'polylora_cache_wait_seconds')).toBeGreaterThan(0.5);
});

describe.skipIf(!HAS_REDIS)('two servers of one store', () => {
  let redis: RedisServer;
  let door: Door;
  let first: Gateway;
  let second: Gateway;
  beforeAll(async () => {
    redis = await startRedis();
    door = await startDoor(redis.url);
    first = await start('--cache-store', door.url.replace(/^\w+:/, 'redis:'));
    second = await start('--cache-store', door.url.replace(/^\w+:/, 'redis:'));
  }, 60_000);
  afterAll(async () => {
    await door?.close();
    await redis?.stop();
  });

  it('find what the other was asked', async () => {
    const question = fresh();
    await ask(first, question);
    await until(async () => (await ask(second, question)).state.startsWith('hit'), 5);
  });

  it('go on while it is away, each by itself, and share again when it is back', async () => {
    const [known, during, after] = [fresh(), fresh(), fresh()];
    await ask(first, known);
    for (const state of ['shut', 'hang'] as const) {
      door[state]();
      const started = performance.now();
      expect(await ask(first, known)).toMatchObject({ status: 200, content: 'an answer' });
      expect((await ask(first, `${during} ${state}`)).status).toBe(200);
      expect((await ask(first, `${during} ${state}`)).state).toMatch(/^hit/);
      expect(performance.now() - started).toBeLessThan(5_000);
      door.open();
      await sleep(500);
    }
    await until(async () => {
      await ask(first, `${after} ${questions}`);
      const found = await until(
        async () => (await ask(second, `${after} ${questions}`)).state.startsWith('hit'),
        3,
      )
        .then(() => true)
        .catch(() => false);
      questions += 1;
      return found;
    }, 30);
  }, 90_000);
});
