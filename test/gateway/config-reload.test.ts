import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Gateway, metric, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';

let folder: string;
let gateway: Gateway;
const write = (content: string) => writeFile(join(folder, 'polylora.yaml'), content);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-reload-'));
  await write('requestBodyLimitBytes: 100000\n');
  gateway = await startGateway({ args: ['--config', join(folder, 'polylora.yaml')] });
}, START_MILLISECONDS);
afterAll(async () => {
  await gateway.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The status of a request that is larger than one of the limits and smaller than the other. */
async function statusOfLarge(): Promise<number> {
  const body = JSON.stringify({ model: 'base', prompt: 'a', max_tokens: 1, unknown: 'x'.repeat(5_000) });
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${gateway.url}/v1/completions`, { method: 'POST', headers, body });
  await response.arrayBuffer();
  return response.status;
}

const logged = (message: string) =>
  gateway.logs().flatMap((line) => {
    const entry = JSON.parse(line) as { msg?: string };
    return entry.msg?.includes(message) ? [entry] : [];
  });

it('takes a changed file while a stream goes on, and refuses a wrong one whole', async () => {
  const request = { model: 'base', prompt: 'Once upon a time', temperature: 0, seed: 1, max_tokens: 300 };
  const alone = await gateway.client.completions.create({ ...request, ...{ ignore_eos: true } });
  const stream = await gateway.client.completions.create({
    ...request,
    ...{ ignore_eos: true },
    stream: true,
  });
  let text = '';
  const reading = (async () => {
    for await (const { choices } of stream) text += choices[0]?.text ?? '';
  })();

  expect(await statusOfLarge()).toBe(200);
  await write('requestBodyLimitBytes: 1000\nmaxRunning: 3\n');
  await until(async () => (await statusOfLarge()) === 413);
  await until(() => logged('configuration reloaded').length === 1);
  expect(logged('configuration reloaded')).toMatchObject([
    { changed: ['requestBodyLimitBytes'], takenAtNextStart: ['maxRunning'] },
  ]);

  await write('requestBodyLimitBytes: 100000\nlogLevel: shouting\n');
  await until(async () => logged('not valid').length === 1);
  expect(logged('not valid')).toMatchObject([{ reason: expect.stringContaining('logLevel') }]);
  expect(await statusOfLarge()).toBe(413);

  // At once where it is told to.
  await write('requestBodyLimitBytes: 100000\n');
  gateway.child.kill('SIGHUP');
  await until(async () => (await statusOfLarge()) === 200);

  await reading;
  expect(text).toBe(alone.choices[0]?.text);
  expect(await metric(gateway, 'polylora_config_reloads_total{result="refused"')).toBe(1);
}, 120_000);
