/** Prices of the configuration file beside those of the admin API. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openApp, type TestApp } from '../support/app.ts';
import { START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';
import { answerCompletion, startUpstream } from '../support/upstream.ts';

const BASE = { id: 'base-model', parent: null, task: 'generate' } as const;
const SQL = { id: 'acme/sql@v2', parent: 'base-model', task: 'generate' } as const;

let app: TestApp;
beforeEach(async () => {
  app = await openApp();
});
afterEach(() => app.close());

const admin = (method: string, path = '', body?: unknown) =>
  app.ask(OPERATOR_KEY, method, `/admin/v1/prices${path}`, body);

it('are the base, over which a price that the API sets wins until it is taken away', async () => {
  const { prices } = app.tenants;
  prices.configure({ base: { input: 1, output: 2 }, 'acme/*': { input: 3, cachedInput: 0, output: 4 } });
  expect(prices.of(BASE)).toEqual({ input: 1_000, cachedInput: 1_000, output: 2_000 });
  expect(prices.of(SQL)).toEqual({ input: 3_000, cachedInput: 0, output: 4_000 });

  const set = await admin('PUT', '/base', { input: 7, output: 9 });
  expect(set.json).toMatchObject({ model: 'base', input: 7, source: 'api' });
  expect(prices.of(BASE).output).toBe(9_000);
  expect((await admin('GET')).json.data).toEqual([
    { object: 'price', model: 'acme/*', input: 3, cached_input: 0, output: 4, source: 'file' },
    { object: 'price', model: 'base', input: 7, cached_input: 7, output: 9, source: 'api' },
  ]);
  // A file that is read again does not undo it.
  prices.configure({ base: { input: 5, output: 5 } });
  expect(prices.of(BASE).output).toBe(9_000);
  expect(prices.of(SQL).output).toBe(9_000);

  expect((await admin('DELETE', '/base')).status).toBe(200);
  expect(prices.of(BASE).output).toBe(5_000);
  expect((await admin('GET')).json.data).toMatchObject([{ model: 'base', source: 'file' }]);
  const refused = await admin('DELETE', '/base');
  expect(refused).toMatchObject({ status: 404, json: { error: { code: 'price_not_found' } } });
  expect(refused.json.error.message).toContain('configuration file');
});

it.each([
  [{ input: 0.0001, output: 1 }, 'input'],
  [{ input: 1, output: 0.0025 }, 'output'],
  [{ input: 1, cached_input: 1e-9, output: 1 }, 'cached_input'],
])('finer than what is kept are refused, not rounded: %j', async (body, param) => {
  const { status, json } = await admin('PUT', '/base', body);
  expect([status, json.error?.param]).toEqual([400, param]);
  expect(json.error.message).toContain('steps of 0.001');
  expect((await admin('GET')).json.data).toEqual([]);
});

it('are what they were given as, also in the audit log', async () => {
  for (const price of [0.001, 0.07, 0.1, 1.005, 123_456.789, 1_000_000]) {
    const set = await admin('PUT', '/base', { input: price, output: 0 });
    expect([set.status, set.json.input]).toEqual([200, price]);
    const { json } = await app.ask(OPERATOR_KEY, 'GET', '/admin/v1/audit?action=price.set&limit=1');
    expect(json.data[0].details).toEqual({ input: price, cached_input: price, output: 0 });
  }
});

it(
  'are taken from the file when it changes, and not where one is wrong',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'polylora-prices-'));
    const file = join(folder, 'polylora.yaml');
    const write = (content: string) => writeFile(file, content);
    await write('prices: {base: {input: 1000000, output: 0}}\n');
    const upstream = await startUpstream(100, (response) => answerCompletion(response));
    const gateway = await startGateway({
      auth: 'keys',
      adapters: null,
      args: ['--config', file, '--upstream', upstream.url, '--embedding-model', 'none'],
      env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY, POLYLORA_SECRET_KEY: 'ab'.repeat(32) },
    });
    const headers = { authorization: `Bearer ${OPERATOR_KEY}`, 'content-type': 'application/json' };
    const get = async (path: string) =>
      (await (await fetch(`${gateway.url}/admin/v1/${path}`, { headers })).json()) as {
        data: Record<string, number>[];
      };
    /** What a completion of two tokens read and four written costs. */
    const cost = async () => {
      const spent = async () => (await get('tenants/operator/spend')).data[0]?.money ?? 0;
      const before = await spent();
      const body = JSON.stringify({ model: 'base', prompt: 'Hi', max_tokens: 4 });
      await (await fetch(`${gateway.url}/v1/completions`, { method: 'POST', headers, body })).json();
      await until(async () => (await spent()) > before);
      return (await spent()) - before;
    };
    try {
      expect(await cost()).toBe(2);
      await write('prices: {base: {input: 0, output: 1000000}}\n');
      await until(async () => (await get('prices')).data[0]?.output === 1_000_000);
      expect(await cost()).toBe(4);

      for (const [wrong, field] of [
        ['{input: 7, output: -1}', 'prices.base.output'],
        ['{input: 0.0001, output: 1}', 'prices.base.input'],
      ] as const) {
        await write(`prices: {base: ${wrong}}\n`);
        await until(() => gateway.logs().some((line) => line.includes(field)));
      }
      expect(await get('prices')).toMatchObject({ data: [{ input: 0, output: 1_000_000, source: 'file' }] });
    } finally {
      await gateway.stop();
      await upstream.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
  START_MILLISECONDS,
);
