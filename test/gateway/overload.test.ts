/** Twice the load that can be carried, for seconds; `npm run figure overload -- --rounds 10` does it for ten minutes. RELIABILITY 27. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES } from '../support/engine.ts';
import { type Gateway, START_MILLISECONDS, startGateway } from '../support/gateway.ts';

const TINY = join(FIXTURES, 'models', 'llama');
const TENANTS = ['a', 'b', 'c', 'd'];
/** As many as run at once: more make it no faster. */
const CLIENTS = 8;
const SECONDS = Number(process.env.POLYLORA_TEST_OVERLOAD_SECONDS ?? 10);
/** Until the queues have filled. */
const WARM_UP_SECONDS = 3;
/** That it does not collapse; how fast it is the figure says, which asks for 0.9 over minutes: here clients and refusals share its cores. */
const LEAST_GOODPUT = 0.5;

let gateway: Gateway;
beforeAll(async () => {
  const tiny = ['--model', TINY, '--weights', 'f32', '--pool-megabytes', '64', '--prefix-cache', 'off'];
  gateway = await startGateway({
    adapters: null,
    args: [...tiny, '--max-running', String(CLIENTS), '--max-queued', '12', '--log-level', 'warn'],
  });
}, START_MILLISECONDS);
afterAll(() => gateway?.stop());

function ask(tenant: string): Promise<Response> {
  return fetch(`${gateway.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${tenant}` },
    body: JSON.stringify({ model: 'base', prompt: 'Once', max_tokens: 48, ignore_eos: true, timeout: 5 }),
  });
}

/** Answers a second when as many clients ask as are served at once. */
async function peak(seconds: number): Promise<number> {
  const end = performance.now() + seconds * 1000;
  let answers = 0;
  const client = async (index: number) => {
    while (performance.now() < end) {
      const response = await ask(TENANTS[index % TENANTS.length] ?? '');
      await response.arrayBuffer();
      if (response.ok && performance.now() < end) answers++;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index)));
  return answers / seconds;
}

describe('twice the load that can be carried', () => {
  it(
    'is refused in part, told when to come again, and leaves what is answered at its peak',
    async () => {
      await peak(1);
      const before = await peak(4);
      const sent: Promise<void>[] = [];
      const answers = new Map(TENANTS.map((tenant) => [tenant, 0]));
      let refusals = 0;
      const beginning = performance.now();
      const counts = () => {
        const seconds = (performance.now() - beginning) / 1000;
        return seconds > WARM_UP_SECONDS && seconds < WARM_UP_SECONDS + SECONDS;
      };
      const send = async (tenant: string) => {
        const response = await ask(tenant);
        await response.arrayBuffer();
        if (response.ok) {
          if (counts()) answers.set(tenant, (answers.get(tenant) ?? 0) + 1);
          return;
        }
        refusals++;
        expect([429, 503]).toContain(response.status);
        expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
        expect(Number(response.headers.get('retry-after-ms'))).toBeGreaterThan(0);
        expect(response.headers.get('x-should-retry')).toBe('true');
      };
      for (let count = 0; performance.now() - beginning < (WARM_UP_SECONDS + SECONDS) * 1000; ) {
        const due = ((performance.now() - beginning) / 1000) * 2 * before;
        for (; count < due; count++) sent.push(send(TENANTS[count % TENANTS.length] ?? ''));
        await sleep(5);
      }
      await Promise.all(sent);
      const after = await peak(4);
      const total = [...answers.values()].reduce((sum, each) => sum + each, 0);
      expect(refusals).toBeGreaterThan(0.1 * sent.length);
      // The machine may be slower than it was before.
      expect(total / SECONDS).toBeGreaterThan(LEAST_GOODPUT * Math.min(before, after));
      const mean = total / TENANTS.length;
      for (const each of answers.values()) expect(Math.abs(each / mean - 1)).toBeLessThan(0.25);
    },
    120_000 + SECONDS * 1000,
  );
});

describe('a full queue', () => {
  it('has no place for whoever only asks for tokens either', async () => {
    const left = new AbortController();
    const fill = (tenant: string, n: number) =>
      fetch(`${gateway.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${tenant}` },
        body: JSON.stringify({
          ...{ model: 'base', prompt: 'Once', n, max_tokens: 500, ignore_eos: true, stream: true },
        }),
        signal: left.signal,
      }).catch(() => {});
    const filled = [fill('a', 16), fill('b', 4)];
    const tokenize = async () => {
      const response = await fetch(`${gateway.url}/tokenize`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: 'Bearer c' },
        body: JSON.stringify({ prompt: 'Once' }),
      });
      return [response.status, ((await response.json()) as { error?: { code: string } }).error?.code];
    };
    await expect.poll(tokenize, { interval: 5 }).toEqual([429, 'engine_overloaded']);
    left.abort();
    await Promise.all(filled);
    await expect.poll(tokenize, { timeout: 10_000 }).toEqual([200, undefined]);
  });
});
