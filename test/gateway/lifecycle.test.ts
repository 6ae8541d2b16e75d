import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Gateway,
  launch,
  metric,
  oracleModel,
  START_MILLISECONDS,
  startGateway,
  until,
} from '../support/gateway.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-lifecycle-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What a command printed, and how it ended. */
async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { output, exited } = launch(args, env);
  return { status: await exited, ...output };
}

function stream(gateway: Gateway, fields: Partial<OpenAI.ChatCompletionCreateParamsStreaming> = {}) {
  return gateway.client.chat.completions.create({
    ...{ model: 'pirate', messages: [{ role: 'user', content: 'Tell me a story.' }], temperature: 0 },
    ...{ ignore_eos: true, ...fields },
    stream: true,
  });
}

async function textOf(chunks: AsyncIterable<OpenAI.ChatCompletionChunk>): Promise<string> {
  let text = '';
  for await (const { choices } of chunks) text += choices[0]?.delta.content ?? '';
  return text;
}

describe('the polylora command', () => {
  it('explains itself', async () => {
    const help = await run(['--help']);
    expect(help).toMatchObject({ status: 0, stderr: '' });
    expect(help.stdout).toContain('polylora serve [options]');
    expect((await run(['serve', '--help'])).stdout).toBe(help.stdout);
    expect((await run(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('answers a wrong command and wrong options in words', async () => {
    expect(await run(['srve'])).toMatchObject({ status: 2, stderr: expect.stringContaining("'srve'") });
    expect((await run([])).status).toBe(2);
    const { status, stderr } = await run(['serve', '--port', 'http'], { POLYLORA_WEIGHTS: 'int3' });
    expect(status).toBe(2);
    expect(stderr).toContain('port (from --port)');
    expect(stderr).toContain('weights (from POLYLORA_WEIGHTS)');
    expect(stderr).not.toContain('    at ');
  });

  it(
    'says in a sentence why it cannot start',
    async () => {
      const taken = createServer().listen(0, '127.0.0.1');
      await until(() => taken.listening);
      const { port } = taken.address() as { port: number };
      const inUse = await run(['serve', '--port', String(port)]);
      taken.close();
      expect(inUse).toMatchObject({ status: 1, stdout: '' });
      expect(inUse.stderr).toBe(
        `Port ${port} on 127.0.0.1 is in use: stop what uses it, or choose another with --port.\n`,
      );

      await writeFile(join(folder, 'broken.gguf'), 'not a model');
      const broken = await run(['serve', '--port', '0', '--model', join(folder, 'broken.gguf')]);
      expect(broken.status).toBe(1);
      expect(broken.stderr).toContain('broken.gguf');
      expect(broken.stderr).not.toContain('    at ');

      const noAdapters = await run(['serve', '--port', '0', '--adapters', join(folder, 'none')]);
      expect(noAdapters.status).toBe(1);
      expect(noAdapters.stderr).toContain(join(folder, 'none'));
      expect(noAdapters.stderr).not.toContain('    at ');
    },
    START_MILLISECONDS,
  );
});

describe('a running server', () => {
  it(
    'prints a curl line that works',
    async () => {
      const gateway = await startGateway();
      const line = /^ {2}curl (\S+) -H '([^:]+): ([^']+)' -d '(.*)'$/m.exec(gateway.output.stdout);
      const [, url = '', header = '', value = '', body = ''] = line ?? [];
      const response = await fetch(url, { method: 'POST', headers: { [header]: value }, body });
      const { model, choices } = (await response.json()) as OpenAI.ChatCompletion;
      expect(model).toBe('pirate');
      expect(choices[0]?.message.content).toMatch(/France be Paris/);
      expect(await gateway.stop()).toBe(0);
    },
    START_MILLISECONDS,
  );

  it(
    'lets streams finish when told to stop, and takes nothing new',
    async () => {
      const gateway = await startGateway();
      const text = await textOf(await stream(gateway, { max_tokens: 200 }));
      const running = textOf(await stream(gateway, { max_tokens: 200 }));
      gateway.child.kill('SIGTERM');
      await until(async () => (await fetch(`${gateway.url}/readyz`)).status === 503);
      await expect(stream(gateway)).rejects.toMatchObject({ status: 503, code: 'shutting_down' });
      expect(await running).toBe(text);
      expect(await gateway.exited).toBe(0);
      await expect(fetch(`${gateway.url}/healthz`)).rejects.toThrow();
    },
    START_MILLISECONDS,
  );

  it(
    'ends streams that outlast the drain time with an error event',
    async () => {
      const gateway = await startGateway({ args: ['--drain-seconds', '0.5'] });
      const running = textOf(await stream(gateway, { max_tokens: 4000 }));
      const failure = running.catch((error: unknown) => error);
      gateway.child.kill('SIGINT');
      expect(await failure).toMatchObject({ code: 'shutting_down' });
      expect(await gateway.exited).toBe(0);
    },
    START_MILLISECONDS,
  );

  it(
    'does not wait for connections that never asked anything',
    async () => {
      const gateway = await startGateway();
      const { hostname, port } = new URL(gateway.url);
      const silent = connect(Number(port), hostname);
      await once(silent, 'connect');
      const told = performance.now();
      expect(await gateway.stop()).toBe(0);
      expect(performance.now() - told).toBeLessThan(10_000);
      silent.destroy();
    },
    START_MILLISECONDS,
  );

  it.skipIf(process.platform !== 'linux')(
    'answers a scrape while its engine hangs, and the request when it goes on',
    async () => {
      const gateway = await startGateway();
      const { pid } = gateway.child;
      const engine = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
      process.kill(engine, 'SIGSTOP');
      const waiting = stream(gateway, { max_tokens: 5 }).then(textOf);
      try {
        expect(await metric(gateway, 'polylora_engine_ready')).toBe(0);
      } finally {
        process.kill(engine, 'SIGCONT');
      }
      expect(await waiting).not.toBe('');
      expect(await metric(gateway, 'polylora_engine_ready')).toBe(1);
      expect(await gateway.stop()).toBe(0);
    },
    START_MILLISECONDS,
  );

  it(
    'exits at once at the second signal',
    async () => {
      const gateway = await startGateway();
      const failure = textOf(await stream(gateway, { max_tokens: 4000 })).catch((error: unknown) => error);
      gateway.child.kill('SIGINT');
      await until(async () => (await fetch(`${gateway.url}/readyz`)).status === 503);
      await new Promise((resolve) => setTimeout(resolve, 700));
      gateway.child.kill('SIGINT');
      expect(await gateway.exited).toBe(1);
      expect(await failure).toBeInstanceOf(Error);
    },
    START_MILLISECONDS,
  );

  it.skipIf(process.platform !== 'linux')(
    'survives the death of its engine: running requests end with an error, later ones are answered',
    async () => {
      const gateway = await startGateway({ args: await oracleModel() });
      const text = await textOf(await stream(gateway, { max_tokens: 20 }));
      const failure = textOf(await stream(gateway, { max_tokens: 4000 })).catch((error: unknown) => error);
      const { pid } = gateway.child;
      const [engine = ''] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
      process.kill(Number(engine), 'SIGKILL');
      const error = await failure;
      expect(error).toBeInstanceOf(OpenAI.APIError);
      expect(error).toMatchObject({ code: 'engine_unavailable', type: 'server_error' });
      expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200);
      await until(async () => (await fetch(`${gateway.url}/readyz`)).status === 200, 60);
      expect(await textOf(await stream(gateway, { max_tokens: 20 }))).toBe(text);
      expect(await metric(gateway, 'polylora_engine_restarts_total')).toBe(1);
      expect(await gateway.stop()).toBe(0);
    },
    START_MILLISECONDS,
  );

  it(
    'refuses adapters that cannot be served by name, and serves the others',
    async () => {
      const gateway = await startGateway({ args: ['--served-model-name', 'pirate'] });
      expect(gateway.output.stdout).toContain('Adapter refused: pirate');
      expect((await gateway.client.models.list()).data).toMatchObject([
        { id: 'pirate', parent: null },
        { id: 'headline', parent: 'pirate' },
        { id: 'support-triage', parent: 'pirate' },
        { id: 'text-to-sql', parent: 'pirate' },
        { id: 'all-MiniLM-L6-v2', parent: null, task: 'embed' },
      ]);
      expect(await gateway.stop()).toBe(0);
    },
    START_MILLISECONDS,
  );
});
