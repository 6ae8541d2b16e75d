import { cp, mkdtemp, readdir, readFile, readlink, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES } from '../support/engine.ts';
import { type Gateway, metric, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';

const TINY = join(FIXTURES, 'models', 'llama');

let home: string;
let gateway: Gateway;

/** The gateway on a tiny model with one adapter; what it keeps is in `home`. */
function start(args: readonly string[] = []): Promise<Gateway> {
  const flags = ['--model', TINY, '--weights', 'f32', '--served-model-name', 'tiny', '--home', home];
  return startGateway({ args: [...flags, '--adapters', join(home, 'adapters'), ...args] });
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'polylora-batches-'));
  await cp(join(TINY, 'adapter'), join(home, 'adapters', 'tuned'), { recursive: true });
  gateway = await start();
}, START_MILLISECONDS);
afterAll(async () => {
  await gateway.stop();
  await rm(home, { recursive: true, force: true });
});

function as(tenant: string): OpenAI {
  return new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: tenant, maxRetries: 0 });
}

interface Line {
  readonly custom_id?: string;
  readonly method?: string;
  readonly url?: string;
  readonly body?: object;
}

function completion(custom_id: string, body: object = {}): Line {
  const defaults = { model: 'tiny', prompt: `the ${custom_id}`, max_tokens: 4, temperature: 0 };
  return { custom_id, method: 'POST', url: '/v1/completions', body: { ...defaults, ...body } };
}

function upload(client: OpenAI, lines: readonly (Line | string)[]): Promise<OpenAI.FileObject> {
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n');
  return toFile(Buffer.from(`${text}\n`), 'requests.jsonl').then((file) =>
    client.files.create({ purpose: 'batch', file }),
  );
}

async function submit(
  client: OpenAI,
  lines: readonly (Line | string)[],
  endpoint: '/v1/completions' | '/v1/chat/completions' = '/v1/completions',
): Promise<OpenAI.Batch> {
  const { id } = await upload(client, lines);
  return client.batches.create({ input_file_id: id, endpoint, completion_window: '24h' });
}

async function finished(client: OpenAI, id: string): Promise<OpenAI.Batch> {
  let batch = await client.batches.retrieve(id);
  await until(async () => {
    batch = await client.batches.retrieve(id);
    return ['completed', 'failed', 'cancelled', 'expired'].includes(batch.status);
  }, 120);
  return batch;
}

interface Result {
  readonly id: string;
  readonly custom_id: string;
  readonly response: {
    readonly status_code: number;
    readonly request_id: string;
    readonly body: OpenAI.Completion & { error?: { code: string; param: string | null } };
  } | null;
  readonly error: { readonly code: string } | null;
}

async function results(client: OpenAI, file: string | undefined): Promise<Result[]> {
  const text = await (await client.files.content(file ?? 'none')).text();
  expect(text.endsWith('\n')).toBe(true);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Result);
}

describe('batches', () => {
  it('answers each line as the route would, in files of their own', async () => {
    const client = as('first');
    const lines = ['a', 'b', 'c'].flatMap((id) => [
      completion(id),
      completion(`${id}-tuned`, { model: 'tuned', n: 2, seed: 1 }),
    ]);
    const created = await submit(client, [
      ...lines,
      completion('unknown', { model: 'nobody' }),
      completion('streamed', { stream: true }),
      completion('wrong', { max_tokens: -1 }),
    ]);
    expect(created).toMatchObject({ object: 'batch', status: 'validating', completion_window: '24h' });
    const batch = await finished(client, created.id);
    expect(batch).toMatchObject({
      status: 'completed',
      errors: null,
      request_counts: { total: 9, completed: 6, failed: 3 },
    });
    const good = await results(client, batch.output_file_id);
    expect(good.map(({ custom_id }) => custom_id).sort()).toEqual(
      lines.map(({ custom_id }) => custom_id).sort(),
    );
    let tokens = 0;
    for (const { id, custom_id, response, error } of good) {
      expect([id, error, response?.status_code]).toEqual([expect.stringMatching(/^batch_req_/), null, 200]);
      expect(response?.request_id).toMatch(/^req_/);
      const line = lines.find((candidate) => candidate.custom_id === custom_id);
      const direct = await client.completions.create(line?.body as OpenAI.CompletionCreateParamsNonStreaming);
      expect(response?.body.choices).toEqual(direct.choices);
      expect(response?.body.model).toBe(direct.model);
      tokens += response?.body.usage?.total_tokens ?? 0;
    }
    expect(batch.usage?.total_tokens).toBe(tokens);
    const bad = await results(client, batch.error_file_id);
    expect(
      Object.fromEntries(
        bad.map(({ custom_id, response }) => [
          custom_id,
          [response?.status_code, response?.body.error?.code, response?.body.error?.param],
        ]),
      ),
    ).toEqual({
      unknown: [404, 'model_not_found', null],
      streamed: [400, 'unsupported_parameter', 'stream'],
      wrong: [400, 'integer_below_min_value', 'max_tokens'],
    });
  });

  it('fails as a whole where the file cannot be read, and says at which lines', async () => {
    const client = as('first');
    const { custom_id: _, ...nameless } = completion('x');
    const { id } = await submit(client, [
      completion('a'),
      completion('a'),
      '{"custom_id": "b", ',
      nameless,
      { ...completion('d'), method: 'GET' },
      { ...completion('e'), url: '/v1/chat/completions' },
      '',
      '[]',
      completion('f', { user: 'x'.repeat(5 << 20) }),
    ]);
    const batch = await finished(client, id);
    expect(batch.status).toBe('failed');
    expect(batch.failed_at).toBeGreaterThanOrEqual(batch.created_at);
    expect(batch.errors?.data?.map(({ line, code, param }) => [line, code, param])).toEqual([
      [2, 'duplicate_custom_id', 'custom_id'],
      [3, 'invalid_json_line', null],
      [4, 'missing_required_parameter', 'custom_id'],
      [5, 'invalid_method', 'method'],
      [6, 'mismatched_endpoint', 'url'],
      [8, 'invalid_json_line', null],
      [9, 'line_too_long', null],
    ]);
    expect(batch.output_file_id).toBeNull();
    const blank = await submit(client, ['', '  ']);
    expect((await finished(client, blank.id)).errors?.data).toMatchObject([
      { code: 'empty_file', line: null },
    ]);
  });

  it("keeps each tenant's files and batches to itself", async () => {
    const owner = as('owner');
    const other = as('other');
    const { id, input_file_id } = await submit(owner, [completion('mine')]);
    const { output_file_id } = await finished(owner, id);
    const output = output_file_id ?? '';
    const refusal = (promise: Promise<unknown>) =>
      promise.then(
        () => 'allowed',
        ({ status, code, message }: InstanceType<typeof OpenAI.APIError>) => [status, code, message],
      );
    const withId = (client: OpenAI, file: string, batch: string) => [
      client.files.retrieve(file),
      client.files.content(file),
      client.files.delete(file),
      client.batches.retrieve(batch),
      client.batches.cancel(batch),
      client.batches.create({ input_file_id: file, endpoint: '/v1/completions', completion_window: '24h' }),
    ];
    const masked = (refusals: unknown[]) =>
      JSON.stringify(refusals).replaceAll(/(file-|batch_)[\da-f]+/g, '$1*');
    const hidden = await Promise.all(withId(other, output, id).map(refusal));
    const absent = await Promise.all(withId(other, 'file-0', 'batch_0').map(refusal));
    expect(masked(hidden)).toBe(masked(absent));
    expect(new Set(hidden.map(([status]) => status))).toEqual(new Set([404]));
    expect((await other.files.list()).data).toEqual([]);
    expect((await other.batches.list()).data).toEqual([]);

    expect((await owner.files.list()).data.map((file) => [file.id, file.purpose])).toEqual([
      [output, 'batch_output'],
      [input_file_id, 'batch'],
    ]);
    expect((await owner.files.list({ purpose: 'batch' })).data).toMatchObject([
      { filename: 'requests.jsonl' },
    ]);
    expect(await owner.files.delete(output)).toEqual({ id: output, object: 'file', deleted: true });
    await expect(owner.files.retrieve(output)).rejects.toMatchObject({ status: 404, code: 'file_not_found' });
  });

  it('lists the newest first, in pages', async () => {
    const client = as('pages');
    const ids: string[] = [];
    for (const name of ['a', 'b', 'c', 'd', 'e']) ids.unshift((await submit(client, [completion(name)])).id);
    const first = await client.batches.list({ limit: 2 });
    expect([first.data.map(({ id }) => id), first.has_more]).toEqual([ids.slice(0, 2), true]);
    const all: string[] = [];
    for await (const { id } of client.batches.list({ limit: 2 })) all.push(id);
    expect(all).toEqual(ids);
    await expect(client.batches.list({ limit: 101 })).rejects.toMatchObject({ param: 'limit' });
    await expect(client.batches.list({ after: 'batch_0' })).rejects.toMatchObject({ param: 'after' });
    for (const id of ids) await finished(client, id);
  });

  it('cancels: what is answered stays, the rest says so', async () => {
    const client = as('cancels');
    const lines = Array.from({ length: 2000 }, (_, index) =>
      completion(`line-${index}`, { max_tokens: 60, ignore_eos: true }),
    );
    const { id, input_file_id } = await submit(client, lines);
    await until(async () => ((await client.batches.retrieve(id)).request_counts?.completed ?? 0) > 40, 60);
    await expect(client.files.delete(input_file_id)).rejects.toMatchObject({ code: 'file_in_use' });
    expect((await client.batches.cancel(id)).status).toMatch(/^cancell(ing|ed)$/);
    const batch = await finished(client, id);
    expect(batch.status).toBe('cancelled');
    const good = await results(client, batch.output_file_id);
    const bad = await results(client, batch.error_file_id);
    expect(good.length).toBe(batch.request_counts?.completed);
    expect(bad.every(({ error, response }) => error?.code === 'batch_cancelled' && response === null)).toBe(
      true,
    );
    const answered = [...good, ...bad].map(({ custom_id }) => custom_id);
    expect(answered.sort()).toEqual(lines.map(({ custom_id }) => custom_id).sort());
    await expect(client.batches.cancel(id)).rejects.toMatchObject({
      status: 409,
      code: 'batch_not_cancellable',
    });
    expect((await client.files.delete(input_file_id)).deleted).toBe(true);
  });

  it('refuses what it cannot do', async () => {
    const client = as('first');
    const { id } = await upload(client, [completion('a')]);
    const create = (fields: object) =>
      client.batches.create({
        ...{ input_file_id: id, endpoint: '/v1/completions', completion_window: '24h' },
        ...fields,
      } as OpenAI.BatchCreateParams);
    await expect(create({ endpoint: '/v1/responses' })).rejects.toMatchObject({ param: 'endpoint' });
    await expect(create({ completion_window: '1h' })).rejects.toMatchObject({ param: 'completion_window' });
    await expect(create({ metadata: { a: 1 } })).rejects.toMatchObject({ param: 'metadata.a' });
    await expect(create({ input_file_id: null })).rejects.toMatchObject({ param: 'input_file_id' });
    const file = await toFile(Buffer.from('x'), 'x.txt');
    await expect(client.files.create({ purpose: 'fine-tune', file })).rejects.toMatchObject({
      status: 400,
      param: 'purpose',
    });
  });

  it(
    'goes on after kill -9: every line is answered exactly once, as if nothing had been',
    async () => {
      const client = as('killed');
      const lines = Array.from({ length: 600 }, (_, index) =>
        completion(`line-${index}`, {
          max_tokens: 40,
          ignore_eos: true,
          model: index % 2 ? 'tuned' : 'tiny',
        }),
      );
      const { id } = await submit(client, lines);
      const whole = await finished(client, id);
      const texts = (all: Result[]) =>
        new Map(all.map(({ custom_id, response }) => [custom_id, response?.body.choices]));
      const expected = texts(await results(client, whole.output_file_id));

      const again = await submit(client, lines);
      let seen = 0;
      for (let kill = 1; kill <= 3; kill++) {
        await until(async () => {
          seen = (await as('killed').batches.retrieve(again.id)).request_counts?.completed ?? 0;
          return seen > kill * 120;
        }, 60);
        gateway.child.kill('SIGKILL');
        await gateway.exited;
        const output = join(home, 'data', 'batches', again.id, 'output', 'content.jsonl');
        const bytes = await readFile(output);
        expect(bytes.toString().split('\n').length - 1).toBeGreaterThanOrEqual(seen);
        // As if the power had gone in the middle of a line.
        if (kill === 2) await truncate(output, bytes.length - 20);
        gateway = await start();
      }
      const batch = await finished(as('killed'), again.id);
      expect(batch).toMatchObject({
        status: 'completed',
        request_counts: { total: 600, completed: 600, failed: 0 },
        usage: { total_tokens: whole.usage?.total_tokens },
      });
      const good = await results(as('killed'), batch.output_file_id);
      expect(good).toHaveLength(600);
      expect(texts(good)).toEqual(expected);
      expect(await readdir(join(home, 'data', 'drafts'))).toEqual([]);
    },
    START_MILLISECONDS,
  );

  it(
    'gives lines up at once when told to stop, and does them after the next start',
    async () => {
      const client = as('stopped');
      const lines = Array.from({ length: 64 }, (_, index) =>
        completion(`line-${index}`, { max_tokens: 100, ignore_eos: true }),
      );
      const { id } = await submit(client, lines);
      await until(async () => (await metric(gateway, 'vllm:num_requests_running')) > 0);
      const told = performance.now();
      expect(await gateway.stop()).toBe(0);
      expect(performance.now() - told).toBeLessThan(5_000);
      gateway = await start();
      const batch = await finished(as('stopped'), id);
      expect(batch.request_counts).toEqual({ total: 64, completed: 64, failed: 0 });
      expect(await results(as('stopped'), batch.output_file_id)).toHaveLength(64);
    },
    START_MILLISECONDS,
  );
});

describe('batches beside other work', () => {
  it(
    'belong to one of two servers on a home, and to the other when it dies',
    async () => {
      const client = as('both');
      const { id } = await upload(client, [completion('a')]);
      const other = await start();
      await expect(other.client.files.list()).rejects.toMatchObject({
        status: 503,
        code: 'batches_unavailable',
      });
      gateway.child.kill('SIGKILL');
      await gateway.exited;
      gateway = other;
      await until(async () => (await fetch(`${gateway.url}/v1/files`)).status === 200);
      expect(await as('both').files.retrieve(id)).toMatchObject({ id });
    },
    START_MILLISECONDS,
  );

  it.skipIf(process.platform !== 'linux')(
    'lose no line when the engine dies',
    async () => {
      const client = as('crash');
      const lines = Array.from({ length: 100 }, (_, index) =>
        completion(`line-${index}`, { max_tokens: 100, ignore_eos: true }),
      );
      const { id } = await submit(client, lines);
      // More often than a line may fail before it is run alone.
      for (let kill = 1; kill <= 3; kill++) {
        await until(async () => (await metric(gateway, 'vllm:num_requests_running')) > 0);
        const { pid } = gateway.child;
        const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
        process.kill(Number(children.trim().split(' ')[0]), 'SIGKILL');
        await until(async () => (await metric(gateway, 'polylora_engine_restarts_total')) === kill);
        await until(async () => (await fetch(`${gateway.url}/readyz`)).status === 200);
      }
      const batch = await finished(client, id);
      expect(batch.request_counts).toEqual({ total: 100, completed: 100, failed: 0 });
      expect(await metric(gateway, 'polylora_engine_restarts_total')).toBe(3);
      expect(await metric(gateway, 'polylora_batch_lines_total{outcome="completed"}')).toBe(100);
      expect(await metric(gateway, 'polylora_batch_lines_waiting')).toBe(0);
    },
    START_MILLISECONDS,
  );

  it.skipIf(process.platform !== 'linux')(
    'close files whose download broke off, or was never meant',
    async () => {
      const client = as('downloads');
      const { id, bytes } = await upload(client, ['x'.repeat(20_000_000)]);
      const url = `${gateway.url}/v1/files/${id}/content`;
      const headers = { authorization: 'Bearer downloads' };
      const heads = await Promise.all(
        Array.from({ length: 20 }, () => fetch(url, { method: 'HEAD', headers })),
      );
      expect(new Set(heads.map((head) => head.headers.get('content-length')))).toEqual(
        new Set([String(bytes)]),
      );
      for (let index = 0; index < 10; index++) {
        const stop = new AbortController();
        const response = await fetch(url, { headers, signal: stop.signal });
        await response.body?.getReader().read();
        stop.abort();
      }
      const folder = `/proc/${gateway.child.pid}/fd`;
      await until(async () => {
        const links = (await readdir(folder)).map((fd) => readlink(join(folder, fd)).catch(() => ''));
        return !(await Promise.all(links)).some((link) => link.includes(id));
      });
      expect((await (await client.files.content(id)).text()).length).toBe(bytes);
    },
  );

  it('leave nothing of an upload whose client left', async () => {
    const stop = new AbortController();
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n';
        controller.enqueue(Buffer.from(head + 'x'.repeat(100_000)));
      },
    });
    const headers = { 'content-type': 'multipart/form-data; boundary=b' };
    const init = { method: 'POST', body, headers, duplex: 'half', signal: stop.signal } as RequestInit;
    const sent = fetch(`${gateway.url}/v1/files`, init).catch((error: unknown) => error);
    const drafts = join(home, 'data', 'drafts');
    await until(async () => (await readdir(drafts)).length === 1);
    stop.abort();
    expect(await sent).toBeInstanceOf(Error);
    await until(async () => (await readdir(drafts)).length === 0);
    await until(() => gateway.logs().some((line) => line.includes('client_closed_request')));
  });

  it(
    'run one adapter after the other and shared beginnings together, in no room of interactive clients',
    async () => {
      const own = await start([
        ...['--data-directory', join(home, 'ordered'), '--batch-concurrency', '1'],
        ...['--max-running', '1', '--max-queued', '0', '--file-storage-limit-bytes', '100000'],
      ]);
      try {
        const client = new OpenAI({ baseURL: `${own.url}/v1`, apiKey: 'ordered', maxRetries: 0 });
        const text = 'a lazy fox jumps over the quick brown dog '.repeat(5);
        const lines = Array.from({ length: 40 }, (_, index) => {
          const group = index % 4;
          const content = `${group < 2 ? 'x' : 'y'}${text}`;
          const model = group % 2 ? 'tuned' : 'tiny';
          const messages = [
            { role: 'system', content },
            { role: 'user', content: `question ${index}` },
          ];
          const body = { model, messages, max_tokens: 60, ignore_eos: true };
          return { custom_id: `${group}-${index}`, method: 'POST', url: '/v1/chat/completions', body };
        });
        const { id } = await submit(client, lines, '/v1/chat/completions');
        await until(async () => ((await client.batches.retrieve(id)).request_counts?.completed ?? 0) > 0);
        const asked = await client.completions.create({ model: 'tiny', prompt: 'now', max_tokens: 4 });
        expect(asked.choices).toHaveLength(1);
        expect((await client.batches.retrieve(id)).status).toBe('in_progress');

        const batch = await finished(client, id);
        const groups = (await results(client, batch.output_file_id)).map(({ custom_id }) => custom_id[0]);
        const changes = groups.filter((group, index) => index > 0 && group !== groups[index - 1]).length;
        expect([groups.length, changes]).toEqual([40, 3]);
        const cached = batch.usage?.input_tokens_details.cached_tokens ?? 0;
        expect(cached).toBeGreaterThan((batch.usage?.input_tokens ?? 0) * 0.6);

        await expect(upload(client, ['x'.repeat(90_000)])).rejects.toMatchObject({
          status: 413,
          code: 'file_storage_full',
        });
      } finally {
        await own.stop();
      }
    },
    START_MILLISECONDS,
  );
});
