/** The client beside servers that a real Polylora is not: other ones, broken ones and ones that mean harm. */
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { AdminClient } from './client.ts';
import { CommandError, UsageError } from './errors.ts';
import { adapterForm } from './form.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});

async function clientOf(listener: RequestListener, path = ''): Promise<AdminClient> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return new AdminClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, 'the-key');
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

async function withAdapter(weights: string, use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'polylora-cli-'));
  try {
    await writeFile(join(directory, 'adapter_config.json'), '{}');
    await writeFile(join(directory, 'adapter_model.safetensors'), weights);
    await use(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

describe('AdminClient', () => {
  it('writes names into paths so that they stay names', async () => {
    const asked: unknown[] = [];
    const client = await clientOf(async (request, response) => {
      asked.push([request.method, request.url, request.headers.authorization, await textOf(request)]);
      response.end('{}');
    }, '/behind/v1/');
    await client.tag('acme/support', 'a?b#c', 'v1');
    await client.grant('x', { tenant: '*' }, false);
    expect(asked).toEqual([
      [
        'PUT',
        '/behind/admin/v1/adapters/acme%2Fsupport/tags/a%3Fb%23c',
        'Bearer the-key',
        '{"version":"v1"}',
      ],
      ['DELETE', '/behind/admin/v1/adapters/x/grants', 'Bearer the-key', '{"tenant":"*"}'],
    ]);
    // Normalized, these would be the path that deletes the adapter.
    for (const tag of ['.', '..', ''])
      await expect(client.untag('acme/support', tag)).rejects.toThrow(UsageError);
    expect(asked).toHaveLength(2);
  });

  it('pages through all adapters, and stops where a server says no more', async () => {
    const other = { owner: 'o', digest: 'd', kind: 'LoRA', bytes: 1, created: 0, moved: 0 };
    const entry = (name: string) => ({ name, ...other });
    const pages: Record<string, unknown> = {
      '': { data: [entry('a'), entry('b')], has_more: true },
      b: { data: [entry('c/d')], has_more: true },
      'c/d': { data: [], has_more: true },
    };
    const client = await clientOf((request, response) => {
      const { searchParams } = new URL(request.url ?? '', 'http://server');
      response.end(JSON.stringify(pages[searchParams.get('after') ?? '']));
    });
    const { json, value } = await client.list();
    expect(value.map(({ name }) => name)).toEqual(['a', 'b', 'c/d']);
    expect(json).toEqual({ object: 'list', data: value, has_more: false });
  });

  it.each([
    [404, 'Not Found', 'answered with status 404, and not as Polylora does'],
    [200, '<html>', 'answered with status 200, and not as Polylora does'],
    [302, '{}', 'answered with status 302, and not as Polylora does'],
    [200, '{"name": 1}', 'something that this command does not understand'],
    [409, '{"error": {"message": "no", "code": "adapter_name_taken"}}', 'no (adapter_name_taken)'],
  ])('tells of status %d with %s', async (status, body, message) => {
    const client = await clientOf((_, response) => {
      response.writeHead(status, { location: '/elsewhere' }).end(body);
    });
    await expect(client.show('x')).rejects.toThrow(CommandError);
    await expect(client.show('x')).rejects.toThrow(message);
  });

  it('says how to start a server where there is none', async () => {
    const client = await clientOf(() => {});
    servers[0]?.close();
    await expect(client.show('x')).rejects.toThrow(/^No server answers at http:.* \(ECONNREFUSED\)/);
    const hangsUp = await clientOf((request) => request.socket.destroy());
    await expect(hangsUp.show('x')).rejects.toThrow(/^The connection to http:.* failed/);
    for (const url of ['localhost:8080', 'ftp://x', '']) {
      expect(() => new AdminClient(url, 'k')).toThrow(UsageError);
    }
  });

  it('sends a form of the length it said', async () => {
    await withAdapter('w'.repeat(3_000_000), async (directory) => {
      let received = new FormData();
      const client = await clientOf(async (request, response) => {
        const { 'content-type': type = '', 'content-length': length } = request.headers;
        const text = await textOf(request);
        expect(Number(length)).toBe(text.length);
        received = await new Response(text, { headers: { 'content-type': type } }).formData();
        response.end('{}');
      });
      const form = await adapterForm(directory, { name: 'acme/support', note: 'a\nb' });
      let sent = 0;
      const pushed = client.push(form, (bytes) => {
        sent += bytes;
      });
      await expect(pushed).rejects.toThrow('does not understand');
      await form.close();
      expect(sent).toBe(form.contentLength);
      expect(received.get('name')).toBe('acme/support');
      expect((received.get('weights') as File).size).toBe(3_000_000);
      expect((received.get('config') as File).name).toBe('adapter_config.json');
    });
  });

  it('takes a refusal that comes before all was sent', async () => {
    await withAdapter('', async (directory) => {
      await truncate(join(directory, 'adapter_model.safetensors'), 1 << 30);
      const client = await clientOf((_, response) => {
        response.writeHead(413).end('{"error": {"message": "too large", "code": "file_too_large"}}');
      });
      const form = await adapterForm(directory, {});
      let sent = 0;
      const pushed = client.push(form, (bytes) => {
        sent += bytes;
      });
      await expect(pushed).rejects.toThrow('too large (file_too_large)');
      expect(sent).toBeLessThan(1 << 30);
      await form.close();
    });
  });

  it('says that a file became shorter, and does not wait for an answer', async () => {
    await withAdapter('w'.repeat(100), async (directory) => {
      const client = await clientOf((request) => void textOf(request).catch(() => {}));
      const form = await adapterForm(directory, {});
      await truncate(join(directory, 'adapter_model.safetensors'), 10);
      await expect(client.push(form, () => {})).rejects.toThrow('became shorter while it was sent');
      await form.close();
    });
  });
});

describe('adapterForm', () => {
  it('says which file cannot be read', async () => {
    await withAdapter('', async (directory) => {
      const weights = join(directory, 'adapter_model.safetensors');
      await rm(weights);
      await expect(adapterForm(directory, {})).rejects.toThrow(
        `${weights} cannot be read: there is no such file.`,
      );
      await mkdir(weights);
      await expect(adapterForm(directory, {})).rejects.toThrow(`${weights} is not a file.`);
    });
  });
});
