/** What the answer cache never gives to anybody else, and what it never gives any more. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adapterForm } from '../support/adapter-form.ts';
import { DEMO_ADAPTERS, type Gateway, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

let gateway: Gateway;
let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'polylora-cache-adapters-'));
  await cp(DEMO_ADAPTERS, join(home, 'served'), { recursive: true });
  gateway = await startGateway({
    adapters: join(home, 'served'),
    args: [
      ...['--store', join(home, 'store'), '--data-directory', join(home, 'data')],
      ...['--cache', 'exact', '--adapter-grace-seconds', '0'],
    ],
    env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY },
  });
}, START_MILLISECONDS);
afterAll(async () => {
  await gateway?.stop();
  await rm(home, { recursive: true, force: true });
});

async function admin(method: string, path: string, body?: FormData | object): Promise<Response> {
  return fetch(`${gateway.url}/admin/v1/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${OPERATOR_KEY}`,
      ...(body === undefined || body instanceof FormData ? {} : { 'content-type': 'application/json' }),
    },
    body: body === undefined ? null : body instanceof FormData ? body : JSON.stringify(body),
  });
}

async function push(name: string, adapter: string): Promise<void> {
  const pushed = await admin('POST', 'adapters', await adapterForm(name, join(DEMO_ADAPTERS, adapter)));
  if (pushed.status !== 201) throw new Error(await pushed.text());
}

async function ask(model: string, content: string, key = 'key-a') {
  const started = performance.now();
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({
      ...{ model, temperature: 0, max_tokens: 8 },
      messages: [{ role: 'user', content }],
    }),
  });
  const body = (await response.json()) as {
    system_fingerprint: string;
    choices: { message: { content: string } }[];
  };
  return {
    milliseconds: performance.now() - started,
    status: response.status,
    state: response.headers.get('x-polylora-cache') ?? '',
    fingerprint: body.system_fingerprint,
    content: body.choices?.[0]?.message.content,
  };
}

// RELIABILITY 3.
describe('an adapter that is replaced under its name', () => {
  it('has each answer be one version’s, cached or not', async () => {
    await push('acme/swap', 'pirate');
    await admin('PUT', `adapters/${encodeURIComponent('acme/swap')}/grants`, { tenant: '*' });
    const prompts = Array.from({ length: 24 }, (_, index) => `Say something about ${index}.`);
    const expected = {
      pirate: await Promise.all(prompts.map((prompt) => ask('pirate', prompt))),
      headline: await Promise.all(prompts.map((prompt) => ask('headline', prompt))),
    };
    const fingerprints = new Map<string, keyof typeof expected>();
    fingerprints.set((await ask('acme/swap', 'Which are you?')).fingerprint, 'pirate');
    let [hits, isDone] = [0, false];
    const traffic = Array.from({ length: 6 }, async (_, worker) => {
      for (let i = 0; !isDone; i++) {
        const place = (worker * 5 + i) % prompts.length;
        const { fingerprint, content, state, status } = await ask('acme/swap', prompts[place]!);
        expect(status).toBe(200);
        if (state.startsWith('hit')) hits += 1;
        const version = fingerprints.get(fingerprint) ?? 'headline';
        expect(content).toBe(expected[version][place]!.content);
      }
    });
    // Each content has one fingerprint, however often its name comes back to it.
    for (const adapter of ['headline', 'pirate', 'headline'] as const) {
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      await push('acme/swap', adapter);
      const now = await ask('acme/swap', `Which are you? ${adapter} ${performance.now()}`);
      fingerprints.set(now.fingerprint, adapter);
      expect(fingerprints.size).toBeLessThanOrEqual(2);
    }
    isDone = true;
    await Promise.all(traffic);
    expect(hits).toBeGreaterThan(20);
  }, 240_000);

  it('leaves nothing in the cache of a version that its name does not stand for, nor of a name that is gone', async () => {
    await push('acme/leaving', 'support-triage');
    const name = encodeURIComponent('acme/leaving');
    await admin('PUT', `adapters/${name}/grants`, { tenant: '*' });
    const kept = async () => {
      const listed = await admin('GET', 'cache/entries?model=acme/leaving');
      return ((await listed.json()) as { data: unknown[] }).data.length;
    };
    await ask('acme/leaving', 'one');
    await ask('acme/leaving', 'two');
    await until(async () => (await kept()) === 2);
    await push('acme/leaving', 'text-to-sql');
    await until(async () => (await kept()) === 0, 20);
    await ask('acme/leaving', 'one');
    await until(async () => (await kept()) === 1);
    await admin('DELETE', `adapters/${name}`);
    await until(async () => (await kept()) === 0, 20);
  }, 120_000);
});

// RELIABILITY 5.
describe('another tenant', () => {
  it('has no hit for what the first has asked, and cannot tell by the time that it was', async () => {
    const rounds = 40;
    const times: { asked: number[]; unasked: number[] } = { asked: [], unasked: [] };
    for (let i = 0; i < rounds; i++) {
      await ask('base', `What is special about the town number ${i}?`, 'key-a');
      const order = [
        ['asked', `What is special about the town number ${i}?`],
        ['unasked', `What is special about the city number ${i}?`],
      ] as const;
      // Each comes first as often as the other.
      for (const [which, question] of i % 2 === 0 ? order : order.toReversed()) {
        const { state, milliseconds } = await ask('base', question, 'key-b');
        expect(state).toMatch(/^miss/);
        times[which].push(milliseconds);
      }
    }
    const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
    const ratio = median(times.asked) / median(times.unasked);
    // A hit takes a fiftieth.
    expect(ratio).toBeGreaterThan(0.7);
    expect(ratio).toBeLessThan(1.4);
  }, 120_000);
});
