/** The dashboard's own upload, against the real admin API: what a browser does, but that its requests are sent by hand. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { openApp, type TestApp } from '../support/app.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { MODEL } from '../support/store-model.ts';

interface Progress {
  readonly stage: string;
  readonly sentBytes: number;
  readonly bytes: number;
}

interface UploadModule {
  uploadAdapter(
    files: object,
    options: {
      tenant: string | null;
      onProgress: (progress: Progress) => void;
      signal: AbortSignal;
      leastPartBytes: number;
    },
  ): Promise<{ readonly name: string; readonly release: string; readonly bytes: number }>;
}

// It is compiled for browsers, whose types are not those of this project.
const source = '../../dashboards/admin/src/api/upload.ts';
const { uploadAdapter } = (await import(source)) as UploadModule;

let gateway: TestApp;
let folder = '';
let config = '';
let weights = new Blob([]);

beforeAll(async () => {
  gateway = await openApp();
  folder = await mkdtemp(join(tmpdir(), 'polylora-dashboard-'));
  await writeRandomAdapter(folder, MODEL, { rank: 8, seed: 7 });
  config = await readFile(join(folder, 'adapter_config.json'), 'utf8');
  weights = new Blob([await readFile(join(folder, 'adapter_model.safetensors'))]);
});
afterEach(() => vi.unstubAllGlobals());
afterAll(async () => {
  await gateway.close();
  await rm(folder, { recursive: true });
});

/** Sends the page's requests to the gateway as an operator's. @param breaks whether a request's connection breaks */
function connect(breaks: (method: string, turn: number) => boolean = () => false) {
  const sent: string[] = [];
  vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
    const method = init.method ?? 'GET';
    sent.push(method);
    // As fetch does.
    init.signal?.throwIfAborted();
    if (breaks(method, sent.length)) throw new TypeError('fetch failed');
    const headers = { ...(init.headers as Record<string, string>), authorization: `Bearer ${OPERATOR_KEY}` };
    return gateway.app.fetch(new Request(new URL(path, 'http://gateway.test'), { ...init, headers }));
  });
  return sent;
}

const options = (
  onProgress: (progress: Progress) => void = () => {},
  signal = new AbortController().signal,
) => ({
  tenant: null,
  onProgress,
  signal,
  // The file is small, and is to be of several parts.
  leastPartBytes: 1_000,
});

const files = (name: string, fields: object = {}) => ({
  name,
  config,
  weights,
  tags: ['stable'],
  note: 'From the dashboard',
  parent: null,
  ...fields,
});

it('brings an adapter in parts and tells how far it is', async () => {
  const sent = connect();
  const told: Progress[] = [];
  const release = await uploadAdapter(
    files('support'),
    options((progress) => told.push(progress)),
  );
  expect(release).toMatchObject({ name: 'support', release: 'v1' });
  expect(sent.filter((method) => method === 'PATCH').length).toBeGreaterThan(1);
  expect(told.at(0)?.stage).toBe('reading');
  expect(told.at(-1)).toMatchObject({ stage: 'checking', sentBytes: weights.size, bytes: weights.size });
  const shares = told.map(({ sentBytes }) => sentBytes);
  expect(shares).toEqual([...shares].sort((a, b) => a - b));
  const { json } = await gateway.ask(OPERATOR_KEY, 'GET', '/admin/v1/adapters/support');
  expect(json.tags).toMatchObject({ stable: json.tags.latest });
});

it('goes on where a connection broke', async () => {
  let broken = 0;
  const sent = connect((method, turn) => {
    const isBroken = method === 'PATCH' && turn > 2 && broken < 2;
    if (isBroken) broken += 1;
    return isBroken;
  });
  const release = await uploadAdapter(files('again'), options());
  expect(release).toMatchObject({ name: 'again', release: 'v1' });
  expect(broken).toBe(2);
  // It asked where it was.
  expect(sent.filter((method) => method === 'GET')).toHaveLength(2);
});

it('tells what the server has against the files', async () => {
  connect();
  const bad = files('bad', { weights: new Blob([new Uint8Array(3_000)]) });
  const refused = uploadAdapter(bad, options());
  await expect(refused).rejects.toMatchObject({ name: 'ApiError', code: 'adapter_invalid', status: 400 });
});

it('stops when it is told to, and leaves nothing behind', async () => {
  connect();
  const controller = new AbortController();
  const stopped = uploadAdapter(
    files('stopped'),
    options(({ stage, sentBytes }) => {
      if (stage === 'sending' && sentBytes > 0) controller.abort();
    }, controller.signal),
  );
  await expect(stopped).rejects.toThrow();
  expect((await gateway.ask(OPERATOR_KEY, 'GET', '/admin/v1/adapters/stopped')).status).toBe(404);
  // What was sent is thrown away: it would count among the uploads that are open.
  const { json } = await gateway.ask(OPERATOR_KEY, 'GET', '/admin/v1/adapters/uploads');
  expect(json.data).toEqual([]);
});

it('is listed while it is open, at a path that an adapter may have as its name', async () => {
  connect();
  const path = '/admin/v1/adapters/uploads';
  const body = { name: 'open', config, bytes: weights.size };
  const { json: begun } = await gateway.ask(OPERATOR_KEY, 'POST', path, body);
  expect((await gateway.ask(OPERATOR_KEY, 'GET', path)).json.data).toMatchObject([{ id: begun.id }]);
  await gateway.ask(OPERATOR_KEY, 'DELETE', `${path}/${begun.id}`);
  await uploadAdapter(files('uploads'), options());
  expect((await gateway.ask(OPERATOR_KEY, 'GET', path)).json).toMatchObject({ name: 'uploads' });
  await gateway.ask(OPERATOR_KEY, 'DELETE', path);
  expect((await gateway.ask(OPERATOR_KEY, 'GET', path)).json.data).toEqual([]);
});
