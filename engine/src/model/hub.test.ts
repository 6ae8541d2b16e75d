import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cachedHubModel, fetchHubModel } from './hub.ts';
import type { ModelProgress } from './progress.ts';

const COMMIT = '12fd25f77366fa6b3b4b768ec3050bf629380bac';
const ID = { name: 'acme/tiny', revision: 'main' };
const WEIGHTS = Buffer.alloc(300_000, 'weights ');

/** The few routes of the hub that a download uses, over real HTTP. */
class LocalHub {
  readonly files = new Map<string, Buffer>([
    ['config.json', Buffer.from('{}')],
    ['tokenizer.json', Buffer.from('{"model":{}}')],
    ['model.safetensors', WEIGHTS],
    ['pytorch_model.bin', Buffer.from('never fetched')],
  ]);
  readonly requests: string[] = [];
  /** What requests must bring, where the model is gated. */
  token: string | null = null;
  /** Cut this many of the next weight responses short. */
  breaks = 0;
  #server: Server | null = null;

  async start(): Promise<string> {
    const server = createServer((request, response) => this.#answer(request, response));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(request.url ?? '/', 'http://hub');
    this.requests.push(`${pathname} ${request.headers.range ?? ''}`.trim());
    if (this.token !== null && request.headers.authorization !== `Bearer ${this.token}`) {
      response.writeHead(401).end('{}');
    } else if (pathname === '/api/models/acme/tiny/revision/main') {
      response.end(JSON.stringify({ _id: '1', id: ID.name, sha: COMMIT, lastModified: '2026-01-01' }));
    } else if (pathname === `/api/models/acme/tiny/tree/${COMMIT}`) {
      response.end(JSON.stringify(this.#tree()));
    } else {
      const content = this.files.get(pathname.split(`/acme/tiny/resolve/${COMMIT}/`)[1] ?? '');
      if (content === undefined) response.writeHead(404).end('{}');
      else this.#send(content, request.headers.range, response);
    }
  }

  #tree() {
    return [...this.files].map(([path, content]) => {
      const isLarge = path.endsWith('.safetensors');
      const oid = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
      const lfs = {
        oid: createHash('sha256').update(content).digest('hex'),
        size: content.length,
        pointerSize: 134,
      };
      return {
        type: 'file',
        path,
        size: content.length,
        oid: isLarge ? 'pointer' : oid,
        ...(isLarge ? { lfs } : {}),
      };
    });
  }

  #send(content: Buffer, range: string | undefined, response: ServerResponse): void {
    const [, from = '0', to = ''] = /bytes=(\d+)-(\d*)/.exec(range ?? '') ?? [];
    const part = content.subarray(Number(from), to === '' ? undefined : Number(to) + 1);
    response.writeHead(range === undefined ? 200 : 206, {
      etag: '"etag"',
      'content-length': part.length,
      'content-range': `bytes ${from}-${Number(from) + part.length - 1}/${content.length}`,
    });
    if (part.length > 100_000 && this.breaks > 0) {
      this.breaks--;
      response.write(part.subarray(0, 100_000), () => response.destroy());
    } else {
      response.end(part);
    }
  }
}

describe('models from the Hugging Face hub', () => {
  let home: string;
  let hub: LocalHub;
  let url: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'polylora-hub-'));
    hub = new LocalHub();
    url = await hub.start();
  });
  afterEach(async () => {
    await hub.stop();
    await rm(home, { recursive: true, force: true });
  });

  const fetchTiny = (onProgress?: (progress: ModelProgress) => void) =>
    fetchHubModel(ID, home, 5_000, { url }, onProgress);

  it('fetches what a model needs, pinned to the commit, and then needs no hub', async () => {
    expect(await cachedHubModel(ID, home)).toBeNull();
    const directory = await fetchTiny();
    expect(directory.endsWith(COMMIT)).toBe(true);
    expect(await readFile(join(directory, 'model.safetensors'))).toEqual(WEIGHTS);
    await expect(stat(join(directory, 'pytorch_model.bin'))).rejects.toThrow('ENOENT');

    await hub.stop();
    expect(await cachedHubModel(ID, home)).toBe(directory);
  });

  it('reports bytes of the whole model', async () => {
    const seen: ModelProgress[] = [];
    await fetchTiny((progress) => seen.push(progress));
    const total = WEIGHTS.length + '{}'.length + '{"model":{}}'.length;
    expect(seen.at(-1)).toEqual({ stage: 'download', label: ID.name, done: total, total });
    const done = seen.map((progress) => progress.done);
    expect(done).toEqual([...done].sort((a, b) => a - b));
  });

  it('takes a broken download up where it stopped', async () => {
    hub.breaks = 2;
    const directory = await fetchTiny();
    expect(await readFile(join(directory, 'model.safetensors'))).toEqual(WEIGHTS);
    expect(
      hub.requests.filter((request) => /safetensors bytes=[1-9]\d*-/.test(request)).length,
    ).toBeGreaterThan(0);
  });

  it('takes up what an earlier run left, and fetches a shortened file again', async () => {
    const directory = await fetchTiny();
    const file = join(directory, 'model.safetensors');
    await truncate(file, 1_000);
    expect(await cachedHubModel(ID, home)).toBeNull();
    await writeFile(`${file}.part`, WEIGHTS.subarray(0, 200_000));
    await fetchTiny();
    expect(await readFile(file)).toEqual(WEIGHTS);
    expect(hub.requests.at(-1)).toMatch(/model\.safetensors bytes=200000-/);
  });

  it("refuses content that differs from the hub's digest and forgets it", async () => {
    const directory = join(home, 'hub', 'acme--tiny', COMMIT);
    await fetchTiny();
    await truncate(join(directory, 'model.safetensors'), 0);
    await writeFile(join(directory, 'model.safetensors.part'), Buffer.alloc(WEIGHTS.length));
    await expect(fetchTiny()).rejects.toMatchObject({ code: 'model_corrupt' });
    await fetchTiny();
    expect(await readFile(join(directory, 'model.safetensors'))).toEqual(WEIGHTS);
  });

  it('fetches a gated model with a token, and asks for one without', async () => {
    hub.token = 'hf_secret';
    await expect(fetchTiny()).rejects.toThrow(
      'answered 401 for acme/tiny@main. If it is private or gated, set HF',
    );
    const directory = await fetchHubModel(ID, home, 5_000, { url, accessToken: 'hf_secret' });
    expect(await readFile(join(directory, 'model.safetensors'))).toEqual(WEIGHTS);
  });

  it('says what is missing', async () => {
    hub.files.delete('model.safetensors');
    await expect(fetchTiny()).rejects.toThrow(
      'acme/tiny on the Hugging Face hub has no config.json with safetensors',
    );
    await expect(
      fetchHubModel({ name: 'acme/none', revision: 'main' }, home, 5_000, { url }),
    ).rejects.toThrow('answered 404 for acme/none@main. If it is private or gated, set HF_TOKEN to');
    await hub.stop();
    await expect(fetchTiny()).rejects.toThrow(/could not be reached for acme\/tiny \(.*ECONNREFUSED/);
  });

  it('gives up on a hub that does not answer', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const silentUrl = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const began = performance.now();
    await expect(fetchHubModel(ID, home, 300, { url: silentUrl })).rejects.toThrow('could not be reached');
    expect(performance.now() - began).toBeLessThan(2_000);
    silent.closeAllConnections();
    silent.close();
  });
});
