/** Adapters that come in parts, and go out again, over HTTP and by the command. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCuttingProxy } from '../support/cutting-proxy.ts';
import {
  DEMO_ADAPTERS,
  type Gateway,
  launch,
  START_MILLISECONDS,
  startGateway,
  until,
} from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const CHUNK = { 'content-type': 'application/offset+octet-stream' };
/** Those of tenants do not reach it. */
const OWN_HEADERS = new Set(['x-request-id', 'date', 'openai-processing-ms']);

interface Begun {
  readonly id: string;
  readonly offset: number;
  readonly max_chunk_bytes: number;
}

describe('adapters in parts', () => {
  let gateway: Gateway;
  let home: string;
  const start = () =>
    startGateway({
      args: ['--store', join(home, 'store'), '--max-adapter-uploads', '5', '--adapter-limit-rank', '8'],
      env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY },
    });
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'polylora-uploads-'));
    gateway = await start();
  }, START_MILLISECONDS);
  afterAll(async () => {
    await gateway.stop();
    await rm(home, { recursive: true });
  });

  const admin = (
    method: string,
    path: string,
    body?: object | Buffer<ArrayBuffer>,
    headers: Record<string, string> = {},
  ) => {
    const isBytes = Buffer.isBuffer(body);
    return fetch(`${gateway.url}/admin/v1/adapters${path}`, {
      method,
      headers: {
        authorization: `Bearer ${OPERATOR_KEY}`,
        ...(body === undefined || isBytes ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isBytes ? body : JSON.stringify(body) }),
    });
  };
  const patch = (id: string, offset: number, body: Buffer<ArrayBuffer>) =>
    admin('PATCH', `/uploads/${id}`, body, { ...CHUNK, 'upload-offset': `${offset}` });
  const filesOf = async (adapter: string) => ({
    config: await readFile(join(DEMO_ADAPTERS, adapter, 'adapter_config.json'), 'utf8'),
    weights: await readFile(join(DEMO_ADAPTERS, adapter, 'adapter_model.safetensors')),
  });
  const codeOf = async (response: Response) => {
    const { error } = (await response.json()) as { error: { code: string; param: string | null } };
    return [response.status, error.code, error.param];
  };
  async function run(args: readonly string[], url = gateway.url) {
    const surroundings = { POLYLORA_URL: url, POLYLORA_OPERATOR_KEY: OPERATOR_KEY };
    const { exited, output } = launch(['adapters', ...args], surroundings);
    return { status: await exited, ...output };
  }
  const answer = async (body: object) => {
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer key-a' },
      body: JSON.stringify({
        messages: [{ role: 'user', content: 'What is the capital of France?' }],
        max_tokens: 12,
        temperature: 0,
        ...body,
      }),
    });
    const json = (await response.json()) as {
      choices?: { message: { content: string } }[];
      error?: { code: string; param: string | null };
    };
    return json.choices?.[0]?.message.content ?? [response.status, json.error?.code, json.error?.param];
  };

  it('gives way to another call while a chunk of unknown length does not go on', async () => {
    const { config, weights } = await filesOf('pirate');
    const begun = await admin('POST', '/uploads', { name: 'acme/stalled', config, bytes: weights.length });
    const { id } = (await begun.json()) as Begun;
    const stalled = request(`${gateway.url}/admin/v1/adapters/uploads/${id}`, {
      method: 'PATCH',
      headers: { ...CHUNK, authorization: `Bearer ${OPERATOR_KEY}`, 'upload-offset': '0' },
    });
    stalled.on('error', () => {}).on('response', (response) => response.resume());
    try {
      stalled.write(weights.subarray(0, 1000));
      await until(async () => {
        const file = join(home, 'store', 'uploads', 'open', id, 'adapter_model.safetensors');
        return (await stat(file)).size === 1000;
      });
      const abandoned = await fetch(`${gateway.url}/admin/v1/adapters/uploads/${id}`, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${OPERATOR_KEY}` },
        signal: AbortSignal.timeout(5_000),
      });
      expect(abandoned.status).toBe(200);
    } finally {
      stalled.destroy();
    }
  });

  it('can be gone on with over the same connection after a chunk was refused', async () => {
    const { config, weights } = await filesOf('pirate');
    const begun = await admin('POST', '/uploads', { name: 'acme/same', config, bytes: weights.length });
    const { id } = (await begun.json()) as Begun;
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const sent = (offset: number) =>
      new Promise<[status: number | undefined, reused: boolean]>((resolve, reject) => {
        const headers = { ...CHUNK, authorization: `Bearer ${OPERATOR_KEY}`, 'upload-offset': `${offset}` };
        const url = `${gateway.url}/admin/v1/adapters/uploads/${id}`;
        const chunk = request(url, { method: 'PATCH', agent, headers }, (response) => {
          response.resume().on('end', () => resolve([response.statusCode, chunk.reusedSocket]));
        });
        chunk.on('error', reject).end(weights);
      });
    try {
      expect(await sent(7)).toEqual([409, false]);
      // Longer than a connection is left to itself whose body nobody reads.
      await sleep(1_000);
      expect(await sent(0)).toEqual([204, true]);
    } finally {
      agent.destroy();
      await admin('DELETE', `/uploads/${id}`);
    }
  });

  it(
    'goes on where it was after the server was killed',
    async () => {
      const { config, weights } = await filesOf('pirate');
      const sha256 = createHash('sha256').update(weights).digest('hex');
      const about = {
        name: 'acme/parts',
        config: JSON.parse(config) as object,
        bytes: weights.length,
        sha256,
      };
      const begun = await admin('POST', '/uploads', { ...about, tags: ['stable'] });
      expect([begun.status, begun.headers.get('upload-offset')]).toEqual([201, '0']);
      const { id, offset, max_chunk_bytes } = (await begun.json()) as Begun;
      expect(offset).toBe(0);
      expect(max_chunk_bytes).toBeGreaterThanOrEqual(1 << 20);
      expect(begun.headers.get('location')).toBe(`/admin/v1/adapters/uploads/${id}`);
      const first = await patch(id, 0, weights.subarray(0, 1_000_000));
      expect([first.status, first.headers.get('upload-offset')]).toEqual([204, '1000000']);

      gateway.child.kill('SIGKILL');
      await gateway.exited;
      gateway = await start();

      const head = await admin('HEAD', `/uploads/${id}`);
      expect([head.status, head.headers.get('upload-offset'), head.headers.get('upload-length')]).toEqual([
        200,
        '1000000',
        `${weights.length}`,
      ]);
      expect(head.headers.get('cache-control')).toBe('no-store');
      const early = await admin('POST', `/uploads/${id}/complete`);
      expect([early.headers.get('upload-offset'), ...(await codeOf(early))]).toEqual([
        '1000000',
        409,
        'upload_incomplete',
        null,
      ]);
      const wrong = await patch(id, 0, weights.subarray(0, 10));
      expect([wrong.headers.get('upload-offset'), ...(await codeOf(wrong))]).toEqual([
        '1000000',
        409,
        'upload_offset_mismatch',
        null,
      ]);
      expect((await patch(id, 1_000_000, weights.subarray(1_000_000))).status).toBe(204);
      const completed = await admin('POST', `/uploads/${id}/complete`);
      expect(completed.status).toBe(201);
      const release = await completed.json();
      expect(release).toMatchObject({ name: 'acme/parts', release: 'v1' });
      expect(await (await admin('POST', `/uploads/${id}/complete`)).json()).toEqual(release);
      await admin('PUT', '/acme%2Fparts/grants', { tenant: '*' });
      expect(await answer({ model: 'acme/parts@stable' })).toBe(await answer({ model: 'pirate' }));
    },
    START_MILLISECONDS,
  );

  it('refuses what is wrong before it takes any of it', async () => {
    const { config, weights } = await filesOf('headline');
    const about = { name: 'acme/wrong', config, bytes: weights.length };
    const options = JSON.parse(config) as object;
    const begin = async (change: object) => codeOf(await admin('POST', '/uploads', { ...about, ...change }));
    expect(await begin({ name: null })).toEqual([400, 'missing_required_parameter', 'name']);
    expect(await begin({ config: 7 })).toEqual([400, 'invalid_type', 'config']);
    expect(await begin({ bytes: 0.5 })).toEqual([400, 'invalid_type', 'bytes']);
    expect(await begin({ size: 1 })).toEqual([400, 'invalid_value', 'size']);
    expect(await begin({ name: 'pirate' })).toEqual([409, 'adapter_name_taken', 'name']);
    expect(await begin({ bytes: 3e9 })).toEqual([413, 'adapter_too_large', null]);
    expect(await begin({ config: { ...options, r: 9 } })).toEqual([413, 'adapter_too_large', 'r']);
    expect(await begin({ config: { ...options, use_qalora: true } })).toEqual([
      400,
      'adapter_invalid',
      'config',
    ]);
    const { id } = (await (await admin('POST', '/uploads', about)).json()) as Begun;
    const bytes = weights.subarray(0, 10);
    const path = `/uploads/${id}`;
    expect(await codeOf(await admin('PATCH', path, bytes))).toEqual([415, 'unsupported_media_type', null]);
    const missing = [400, 'missing_required_parameter', 'upload-offset'];
    expect(await codeOf(await admin('PATCH', path, bytes, CHUNK))).toEqual(missing);
    const more = Buffer.concat([weights, bytes]);
    expect(await codeOf(await patch(id, 0, more))).toEqual([413, 'upload_too_long', null]);
    const large = Buffer.alloc((64 << 20) + 1);
    expect(await codeOf(await patch(id, 0, large))).toEqual([413, 'request_too_large', null]);
    // The connection of what was refused may be closed meanwhile.
    await expect.poll(async () => (await admin('HEAD', path)).headers.get('upload-offset')).toBe('0');
    for (let open = 1; open < 5; open++) expect((await admin('POST', '/uploads', about)).status).toBe(201);
    expect(await begin({})).toEqual([429, 'uploads_exceeded', null]);
    expect((await admin('DELETE', path)).status).toBe(200);
    expect((await admin('POST', '/uploads', about)).status).toBe(201);
    for (const id of await readdir(join(home, 'store', 'uploads', 'open')))
      await admin('DELETE', `/uploads/${id}`);
    expect(await readdir(join(home, 'store', 'uploads', 'open'))).toEqual([]);
  });

  it('tells nobody without the key, and of none what it tells of another’s', async () => {
    const { config, weights } = await filesOf('headline');
    const about = { name: 'acme/owned', config, bytes: weights.length };
    const { id } = (await (await admin('POST', '/uploads', about)).json()) as Begun;
    // There is one operator: another owner's is made by hand.
    const record = join(home, 'store', 'uploads', 'open', id, 'upload.json');
    const own = JSON.parse(await readFile(record, 'utf8')) as object;
    await writeFile(record, JSON.stringify({ ...own, owner: 'somebody else' }));
    const asks: ((id: string) => Promise<Response>)[] = [
      (each) => admin('GET', `/uploads/${each}`),
      (each) => patch(each, 0, weights.subarray(0, 10)),
      (each) => admin('POST', `/uploads/${each}/complete`),
      (each) => admin('DELETE', `/uploads/${each}`),
    ];
    const told = async (response: Response) => ({
      status: response.status,
      headers: [...response.headers].filter(([header]) => !OWN_HEADERS.has(header)),
      text: await response.text(),
    });
    for (const ask of asks) {
      const hidden = await told(await ask(id));
      expect(hidden).toMatchObject({ status: 404, text: expect.stringContaining('upload_not_found') });
      for (const none of ['0'.repeat(32), 'x', '..%2f..'])
        expect(await told(await ask(none))).toEqual(hidden);
    }
    const unkeyed = await fetch(`${gateway.url}/admin/v1/adapters/uploads/${id}`);
    expect(unkeyed.status).toBe(401);
    await rm(join(home, 'store', 'uploads', 'open', id), { recursive: true });
  });

  it('is pushed by the command over a connection that breaks, and pulled again as it was', async () => {
    const proxy = await startCuttingProxy(gateway.url, { afterBytes: 600_000, times: 3 });
    const pushed = await run(
      ['push', join(DEMO_ADAPTERS, 'pirate'), '--name', 'acme/cut', '--in-parts', '--note', 'cut', '--json'],
      proxy.url,
    );
    expect(pushed.status).toBe(0);
    expect(proxy.cuts()).toBe(3);
    expect(pushed.stderr.match(/Trying again in /g)?.length).toBeGreaterThanOrEqual(3);
    await proxy.close();
    const release = JSON.parse(pushed.stdout) as { digest: string };
    const at = join(home, 'pulled');
    const pulled = await run(['pull', 'acme/cut@v1', at]);
    expect(pulled).toMatchObject({ status: 0, stdout: `acme/cut@v1 is in ${at} now.\n` });
    expect(pulled.stderr).toMatch(/^Fetching 1\.9 MB\.\n/);
    expect((await readdir(at)).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
      'polylora.json',
    ]);
    const { config, weights } = await filesOf('pirate');
    expect((await readFile(join(at, 'adapter_model.safetensors'))).equals(weights)).toBe(true);
    expect(JSON.parse(await readFile(join(at, 'adapter_config.json'), 'utf8'))).toEqual(JSON.parse(config));
    expect(JSON.parse(await readFile(join(at, 'polylora.json'), 'utf8'))).toEqual(release);
    const again = await run(['push', at, '--name', 'acme/again', '--json']);
    expect(JSON.parse(again.stdout)).toMatchObject({ digest: release.digest });
    expect(await run(['pull', 'acme/cut', at])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('not empty'),
    });
    const nothing = join(home, 'nothing');
    expect(await run(['pull', 'acme/none@v7', nothing])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('(adapter_not_found)'),
    });
    const half = await startCuttingProxy(gateway.url, { afterBytes: 500_000, times: 1 });
    expect(await run(['pull', 'acme/cut', nothing], half.url)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('broke off'),
    });
    expect(half.cuts()).toBe(1);
    await half.close();
    expect((await readdir(home)).filter((name) => name.endsWith('.polylora'))).toEqual([]);
    await expect(stat(nothing)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('tells why an upload by the command is refused, and leaves none behind', async () => {
    const broken = join(home, 'broken');
    await mkdir(broken);
    const { config, weights } = await filesOf('headline');
    await writeFile(join(broken, 'adapter_config.json'), config);
    weights.fill(0xff, weights.length - 2);
    await writeFile(join(broken, 'adapter_model.safetensors'), weights);
    expect(await run(['push', broken, '--name', 'acme/broken', '--in-parts'])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/holds NaN at row .*\(adapter_invalid\)\n$/),
    });
    expect(await readdir(join(home, 'store', 'uploads', 'open'))).toEqual([]);
  });

  it('exports the same bytes each time, and ends when whoever asked has left', async () => {
    const url = '/acme%2Fcut/export?version=v1';
    const [one, two] = await Promise.all([admin('GET', url), admin('GET', url)]);
    expect(one.headers.get('content-type')).toBe('application/x-tar');
    expect(one.headers.get('content-disposition')).toBe('attachment; filename="acme-cut-v1.tar"');
    const bytes = Buffer.from(await one.arrayBuffer());
    expect(bytes.equals(Buffer.from(await two.arrayBuffer()))).toBe(true);
    const latest = Buffer.from(await (await admin('GET', '/acme%2Fcut/export')).arrayBuffer());
    expect(bytes.equals(latest)).toBe(true);
    for (const version of ['v9', 'none', '../x', 'sha256:1'])
      expect(await codeOf(await admin('GET', `/acme%2Fcut/export?version=${version}`))).toEqual([
        404,
        'adapter_not_found',
        null,
      ]);
    const openFiles = async () => {
      const links = await readdir(`/proc/${gateway.child.pid}/fd`).catch(() => []);
      return links.length;
    };
    const before = await openFiles();
    for (let time = 0; time < 20; time++) {
      const stop = new AbortController();
      const response = await fetch(`${gateway.url}/admin/v1/adapters${url}`, {
        headers: { authorization: `Bearer ${OPERATOR_KEY}` },
        signal: stop.signal,
      });
      await response.body?.getReader().read();
      stop.abort();
    }
    await expect.poll(openFiles).toBeLessThan(before + 10);
  });

  it('lists adapters as llama-server does, and takes its ids', async () => {
    const list = async (key: string) => {
      const response = await fetch(`${gateway.url}/lora-adapters`, {
        headers: { authorization: `Bearer ${key}` },
      });
      return (await response.json()) as { id: number; path: string }[];
    };
    const tenant = `key-${createHash('sha256').update('key-a').digest('hex').slice(0, 12)}`;
    await admin('PUT', '/acme%2Fagain/grants', { tenant });
    const listed = await list('key-a');
    expect(listed.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['acme/again', 'pirate', 'headline']),
    );
    for (const entry of listed)
      expect(entry).toEqual({
        id: expect.any(Number),
        path: expect.any(String),
        scale: 0,
        task_name: '',
        prompt_prefix: '',
      });
    expect((await list('key-b')).map(({ path }) => path)).not.toContain('acme/again');
    const idOf = (path: string) => listed.find((entry) => entry.path === path)!.id;
    const lora = (path: string, scale = 1) => ({ id: idOf(path), scale });
    const pirate = await answer({ model: 'pirate' });
    const base = await answer({ model: 'base' });
    expect(await answer({ lora: [lora('acme/again')] })).toBe(pirate);
    expect(await answer({ model: 'base', lora: [lora('headline', 0), lora('pirate')] })).toBe(pirate);
    expect(await answer({ model: 'base', lora: [] })).toBe(base);
    expect(await answer({ model: 'base', lora: [lora('pirate', 0)] })).toBe(base);
    expect(await answer({ model: 'headline', lora: [lora('pirate')] })).toEqual([
      400,
      'invalid_value',
      'model',
    ]);
    const mixed = (...adapters: object[]) => answer({ adapters });
    expect(await answer({ lora: [lora('pirate', 0.5)] })).toBe(await mixed({ name: 'pirate', weight: 0.5 }));
    expect(await answer({ lora: [lora('pirate'), lora('headline')] })).toBe(
      await mixed({ name: 'pirate' }, { name: 'headline' }),
    );
    expect(await answer({ lora: [{ id: -1, scale: 1 }] })).toEqual([
      400,
      'integer_below_min_value',
      'lora[0].id',
    ]);
    expect(await answer({ lora: [{ id: 5, scale: 1 }] })).toEqual([404, 'model_not_found', 'lora']);
    // What is taken back is not there, and has its id again when it is given again.
    await admin('DELETE', '/acme%2Fagain/grants', { tenant });
    expect((await list('key-a')).map(({ path }) => path)).not.toContain('acme/again');
    expect(await answer({ lora: [lora('acme/again')] })).toEqual([404, 'model_not_found', 'lora']);
    await admin('PUT', '/acme%2Fagain/grants', { tenant });
    expect(await list('key-a')).toEqual(listed);
    const set = await fetch(`${gateway.url}/lora-adapters`, { method: 'POST', body: '[{"id":0,"scale":1}]' });
    expect([set.headers.get('allow'), ...(await codeOf(set))]).toEqual([
      'GET',
      405,
      'method_not_supported',
      null,
    ]);
  });
});
