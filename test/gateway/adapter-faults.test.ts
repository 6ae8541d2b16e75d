/** What goes wrong around the adapters store: a full disk, files that are gone, and who may not see what. */
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, statfs, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adapterForm } from '../support/adapter-form.ts';
import {
  DEMO_ADAPTERS,
  type Gateway,
  metric,
  START_MILLISECONDS,
  startGateway,
  until,
} from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';
import { mountSmallDisk } from '../support/small-disk.ts';

const DISK_MEGABYTES = 48;

describe('the adapters store of a gateway, when things go wrong', () => {
  let gateway: Gateway;
  let home: string;
  let store: string;
  let unmount: (() => void) | null = null;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'polylora-faults-'));
    store = join(home, 'store');
    unmount = mountSmallDisk(store, DISK_MEGABYTES);
    await mkdir(join(home, 'runtime'));
    gateway = await startGateway({
      args: [
        '--store',
        store,
        '--runtime-lora-root',
        join(home, 'runtime'),
        '--served-model-name',
        'my-model',
      ],
      env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY },
    });
  }, START_MILLISECONDS);
  afterAll(async () => {
    await gateway.stop();
    unmount?.();
    await rm(home, { recursive: true });
  });

  const admin = (method: string, path: string, body?: FormData | object) =>
    fetch(`${gateway.url}/admin/v1/adapters${path}`, {
      method,
      headers: {
        authorization: `Bearer ${OPERATOR_KEY}`,
        ...(body === undefined || body instanceof FormData ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: body instanceof FormData ? body : JSON.stringify(body) }),
    });
  /** Another content than the directory's adapter, which would be found in its place. */
  const differing = (config: Buffer<ArrayBuffer>) => {
    const fields = JSON.parse(config.toString()) as { lora_alpha: number };
    return Buffer.from(JSON.stringify({ ...fields, lora_alpha: fields.lora_alpha * 1.5 }));
  };
  const pathOf = (name: string) => `/${encodeURIComponent(name)}`;

  async function push(name: string, adapter: string, fields: Record<string, string> = {}): Promise<Response> {
    const folder = join(DEMO_ADAPTERS, adapter);
    const form = await adapterForm(name, folder, fields);
    const config = 'adapter_config.json';
    form.set('config', new Blob([differing(await readFile(join(folder, config)))]), config);
    return admin('POST', '', form);
  }
  async function pushed(name: string, adapter: string): Promise<string> {
    const response = await push(name, adapter);
    expect(response.status).toBe(201);
    await admin('PUT', `${pathOf(name)}/grants`, { tenant: '*' });
    return ((await response.json()) as { digest: string }).digest;
  }

  /** Status, headers that do not differ from request to request, and body. */
  async function answerOf(path: string, key: string, body?: object) {
    const response = await fetch(`${gateway.url}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const own = new Set(['x-request-id', 'date', 'openai-processing-ms']);
    const headers = [...response.headers].filter(([header]) => !own.has(header));
    return { status: response.status, headers, text: await response.text() };
  }
  const chat = (model: string, key = 'key-a') =>
    answerOf('/v1/chat/completions', key, {
      model,
      messages: [{ role: 'user', content: 'Hi' }],
      max_tokens: 2,
    });
  const everyRoute = [
    ['chat', (model: string) => chat(model, 'key-b')],
    [
      'a chat that is streamed',
      (model: string) =>
        answerOf('/v1/chat/completions', 'key-b', {
          model,
          messages: [{ role: 'user', content: 'Hi' }],
          stream: true,
        }),
    ],
    [
      'completions',
      (model: string) => answerOf('/v1/completions', 'key-b', { model, prompt: 'Hi', max_tokens: 2 }),
    ],
    ['a model', (model: string) => answerOf(`/v1/models/${encodeURIComponent(model)}`, 'key-b')],
    ['a model, its slash as it is', (model: string) => answerOf(`/v1/models/${model}`, 'key-b')],
  ] as const;
  const tenantOf = (key: string) => `key-${createHash('sha256').update(key).digest('hex').slice(0, 12)}`;

  it.each(everyRoute)('tells of an adapter of others what it tells of none: %s', async (_, ask) => {
    const { digest } = (await (await push('acme/hidden', 'headline', { tags: 'stable' })).json()) as {
      digest: string;
    };
    await admin('PUT', `${pathOf('acme/hidden')}/grants`, { tenant: tenantOf('key-a') });
    for (const version of ['', '@latest', '@stable', '@v1', `@sha256:${digest}`]) {
      const hidden = await ask(`acme/hidden${version}`);
      const none = await ask(`acme/nobody${version}`);
      expect(hidden.status).toBe(404);
      expect({ ...hidden, text: hidden.text.replaceAll('acme/hidden', 'acme/nobody') }).toEqual(none);
    }
  });

  it('lets a grant that is taken back count for the very next request', async () => {
    await push('acme/lent', 'headline');
    const grant = { tenant: tenantOf('key-a') };
    for (let time = 0; time < 10; time++) {
      await admin('PUT', `${pathOf('acme/lent')}/grants`, grant);
      expect((await chat('acme/lent')).status).toBe(200);
      await admin('DELETE', `${pathOf('acme/lent')}/grants`, grant);
      expect((await chat('acme/lent')).status).toBe(404);
      expect((await answerOf('/v1/models/acme/lent', 'key-a')).status).toBe(404);
    }
  });

  it.each(['base', 'my-model', 'pirate'])(
    'refuses a push under %s, which stands for something else',
    async (name) => {
      const refused = await push(name, 'headline');
      expect(refused.status).toBe(409);
      expect(await refused.json()).toMatchObject({ error: { code: 'adapter_name_taken', param: 'name' } });
      await cp(join(DEMO_ADAPTERS, 'headline'), join(home, 'runtime', 'headline'), { recursive: true });
      const loaded = await answerOf('/v1/load_lora_adapter', 'key-a', {
        lora_name: name,
        lora_path: 'headline',
        load_inplace: true,
      });
      expect(loaded.status).toBe(400);
    },
  );

  it('fails the requests of an adapter whose file is gone, and no others, until it is pushed again', async () => {
    const digest = await pushed('acme/broken', 'support-triage');
    await rm(join(store, 'blobs', digest.slice(0, 2)), { recursive: true });
    // Of what was read already there may be a copy in memory: this one nobody has asked for.
    const [broken, fine] = await Promise.all([chat('acme/broken'), chat('pirate')]);
    expect(fine.status).toBe(200);
    expect(broken.status).toBe(500);
    expect(JSON.parse(broken.text)).toMatchObject({ error: { code: 'adapter_load_failed' } });
    // Where the server keeps its files is not the client's affair.
    expect(broken.text).not.toContain(home);
    await pushed('acme/broken', 'support-triage');
    expect((await chat('acme/broken')).status).toBe(200);
  });

  it('counts an adapter that cannot be loaded, each time once and wherever that fails', async () => {
    const failures = () => metric(gateway, 'polylora_adapter_load_failures_total');
    const digest = await pushed('acme/damaged', 'text-to-sql');
    const folder = join(store, 'blobs', digest.slice(0, 2));
    const blob = join(folder, (await readdir(folder)).find((name) => name.startsWith(digest)) ?? '');
    const whole = await readFile(blob);
    await writeFile(blob, whole.subarray(0, 1000));
    const before = await failures();
    for (const time of [1, 2]) {
      const { status, text } = await chat('acme/damaged');
      expect([status, JSON.parse(text).error.code]).toEqual([500, 'adapter_load_failed']);
      expect(await failures()).toBe(before + time);
    }
    const adapters = ['acme/damaged', 'pirate'].map((name) => ({ name, weight: 0.5 }));
    const messages = [{ role: 'user', content: 'Hi' }];
    const mixed = await answerOf('/v1/chat/completions', 'key-a', { adapters, messages, max_tokens: 2 });
    expect(mixed.status).toBe(500);
    expect(await failures()).toBe(before + 3);
    await writeFile(blob, whole);
    expect((await chat('acme/damaged')).status).toBe(200);
    expect((await chat('acme/nobody')).status).toBe(404);
    expect(await failures()).toBe(before + 3);
  });

  it('lets requests that run end as they would have when their adapter is removed', async () => {
    const long = () =>
      answerOf('/v1/completions', 'key-a', {
        model: 'acme/running',
        prompt: 'Once upon a time',
        max_tokens: 60,
        ignore_eos: true,
        temperature: 0,
      });
    const textOf = (text: string) => (JSON.parse(text) as { choices: { text: string }[] }).choices[0]?.text;
    await pushed('acme/running', 'text-to-sql');
    const whole = await long();
    expect(whole.status).toBe(200);
    const running = [long(), long(), long()];
    await until(async () => (await metric(gateway, 'vllm:num_requests_running')) === running.length);
    expect((await admin('DELETE', pathOf('acme/running'))).status).toBe(200);
    expect((await long()).status).toBe(404);
    for (const { status, text } of await Promise.all(running)) {
      expect(status).toBe(200);
      expect(textOf(text)).toBe(textOf(whole.text));
    }
  });

  it('answers each request whole while its adapter is removed and pushed again', async () => {
    await pushed('acme/churned', 'headline');
    const churn = (async () => {
      for (let time = 0; time < 10; time++) {
        expect((await admin('DELETE', pathOf('acme/churned'))).status).toBe(200);
        await pushed('acme/churned', 'headline');
      }
    })();
    const seen = new Set<number>();
    let isOver = false;
    void churn.finally(() => {
      isOver = true;
    });
    while (!isOver) {
      for (const { status } of await Promise.all([1, 2, 3, 4].map(() => chat('acme/churned'))))
        seen.add(status);
    }
    await churn;
    expect((await chat('acme/churned')).status).toBe(200);
    // Not there, or just gone; nothing else.
    for (const status of seen) expect([200, 404, 503]).toContain(status);
  });

  it.each([
    '/%2e%2e',
    '/%2e%2e%2f%2e%2e%2fetc%2fpasswd',
    '/%252e%252e',
    '/..%5c..%5cx',
    '/acme%2Fx%00',
    '/%00',
    '/%ff',
    '/%',
    `/${'x'.repeat(5000)}`,
    '/acme%2Fx/tags/%2e%2e',
    '/acme%2Fx/pins/%00',
    "/x'%20or%201=1--",
  ])('takes %s for no adapter', async (path) => {
    for (const method of ['GET', 'DELETE']) {
      const { status } = await admin(method, path);
      expect([400, 404, 405]).toContain(status);
    }
    expect((await answerOf(`/v1/models${path}`, 'key-a')).status).toBe(404);
  });

  it.each([
    [{ name: '../x' }, 'adapter_field_invalid'],
    [{ name: 'acme/x\0' }, 'adapter_field_invalid'],
    [{ name: '%2e%2e' }, 'adapter_field_invalid'],
    [{ name: 'x'.repeat(200) }, 'adapter_field_invalid'],
    [{ tags: 'v3' }, 'adapter_tag_invalid'],
    [{ tags: 'a/b' }, 'adapter_tag_invalid'],
    [{ tags: 'x'.repeat(65) }, 'adapter_tag_invalid'],
    [{ note: 'nul \0' }, 'adapter_field_invalid'],
    [{ note: 'x'.repeat(10_000) }, 'string_above_max_length'],
    [{ tags: Array.from({ length: 1000 }, (_, tag) => `tag-${tag}`).join() }, 'string_above_max_length'],
    [{ parent: 'v1' }, 'adapter_field_invalid'],
    [{ surplus: 'x' }, 'invalid_value'],
  ])('refuses a push with %o', async (fields, code) => {
    const refused = await push('acme/odd', 'headline', fields as Record<string, string>);
    expect([400, 413]).toContain(refused.status);
    const { error } = (await refused.json()) as { error: { code: string } };
    expect(error.code).toBe(code);
    expect((await admin('GET', pathOf('acme/odd'))).status).toBe(404);
  });

  it.each([
    ['v3', 'v1'],
    ['latest', 'v9'],
    ['latest', 'v1@v1'],
    ['latest', '../v1'],
    ['latest', `sha256:${'0'.repeat(64)}`],
    ['%00', 'v1'],
    ['sha256:x', 'v1'],
  ])('moves no tag %s to %s', async (tag, version) => {
    await push('acme/tagged', 'headline');
    const refused = await admin('PUT', `${pathOf('acme/tagged')}/tags/${encodeURIComponent(tag)}`, {
      version,
    });
    expect([400, 404]).toContain(refused.status);
    expect((await admin('DELETE', `${pathOf('acme/tagged')}/tags/latest`)).status).toBe(400);
  });

  it('keeps one out of thousands of grants as fast, and takes it back as fast', async () => {
    await push('acme/popular', 'headline');
    const path = `${pathOf('acme/popular')}/grants`;
    for (let start = 0; start < 2000; start += 100) {
      const some = Array.from({ length: 100 }, (_, index) =>
        admin('PUT', path, { tenant: `t-${start + index}` }),
      );
      for (const { status } of await Promise.all(some)) expect(status).toBe(200);
    }
    const own = { tenant: tenantOf('key-a') };
    await admin('PUT', path, own);
    expect((await chat('acme/popular')).status).toBe(200);
    await admin('DELETE', path, own);
    expect((await chat('acme/popular')).status).toBe(404);
    expect((await chat('acme/popular', 'key-b')).status).toBe(404);
  });

  it('follows no link out of the runtime directory, opens no pipe, and names a pickle', async () => {
    const load = (lora_path: string) =>
      answerOf('/v1/load_lora_adapter', 'key-a', { lora_name: 'linked', lora_path, load_inplace: true });
    const make = async (folder: string, weights: (file: string) => Promise<void>) => {
      const directory = join(home, 'runtime', folder);
      await mkdir(directory);
      await cp(
        join(DEMO_ADAPTERS, 'headline', 'adapter_config.json'),
        join(directory, 'adapter_config.json'),
      );
      await weights(join(directory, 'adapter_model'));
    };
    const weightsOf = join(DEMO_ADAPTERS, 'headline', 'adapter_model.safetensors');
    await make('out', (file) => symlink(weightsOf, `${file}.safetensors`));
    await make('zero', (file) => symlink('/dev/zero', `${file}.safetensors`));
    await make('folder', async (file) => void (await mkdir(`${file}.safetensors`)));
    await make('pickle', (file) => writeFile(`${file}.bin`, 'x'));
    for (const folder of ['out', 'zero', 'folder', 'pickle']) {
      const { status, text } = await load(folder);
      expect([400, 404]).toContain(status);
      if (folder === 'pickle') expect(text).toContain('pickle');
    }
    expect((await chat('linked')).status).toBe(404);
  });

  it('answers a push for which there is no room with 507, and goes on', async ({ skip }) => {
    if (unmount === null) skip();
    await pushed('acme/kept', 'headline');
    const { bavail, bsize } = await statfs(store);
    await writeFile(join(store, 'filler'), Buffer.alloc(bavail * bsize - 200_000));
    const refused = await push('acme/full', 'text-to-sql');
    expect(refused.status).toBe(507);
    expect(await refused.json()).toMatchObject({ error: { code: 'storage_full' } });
    expect((await chat('acme/kept')).status).toBe(200);
    expect(await readdir(join(store, 'staging'))).toEqual([]);
    await rm(join(store, 'filler'));
    expect((await push('acme/full', 'pirate')).status).toBe(201);
  });
});
