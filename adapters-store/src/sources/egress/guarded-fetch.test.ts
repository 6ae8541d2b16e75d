import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Allowlist } from './allowlist.ts';
import { GuardedFetch, type GuardOptions } from './guarded-fetch.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A server on this machine, which counts who comes. */
async function serve(answer: Answer = (_, response) => response.end('ok'), address = '127.0.0.1') {
  const seen: IncomingMessage[] = [];
  const server: Server = createServer((request, response) => {
    seen.push(request);
    answer(request, response);
  });
  let connections = 0;
  server.on('connection', () => connections++);
  server.listen(0, address);
  await once(server, 'listening');
  closing.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    origin: `http://${address.includes(':') ? `[${address}]` : address}:${port}`,
    seen,
    connections: () => connections,
  };
}

/** @param hosts what the operator allows */
function guarded(hosts: readonly string[], options: Partial<GuardOptions> = {}): typeof fetch {
  const guard = new GuardedFetch({ allowlist: new Allowlist(hosts), ...options });
  closing.push(() => guard.close());
  return guard.fetch;
}

const refused = { name: 'SourceError', code: 'source_refused' };
const at =
  (...addresses: readonly string[]) =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));

describe('GuardedFetch', () => {
  it('fetches from a server of the operator’s own where that is allowed as an origin', async () => {
    const { origin, seen } = await serve();
    const response = await guarded([origin])(`${origin}/x`, { headers: { authorization: 'Bearer t' } });
    expect([response.status, await response.text()]).toEqual([200, 'ok']);
    expect(seen[0]?.headers.authorization).toBe('Bearer t');
  });

  it('connects to no host that is not allowed', async () => {
    const { origin, connections } = await serve();
    await expect(guarded(['huggingface.co'])(`${origin}/x`)).rejects.toMatchObject(refused);
    expect(connections()).toBe(0);
  });

  it.each([
    ['loopback', '127.0.0.1'],
    ['IPv6 loopback', '::1'],
    ['IPv4-mapped', '::ffff:127.0.0.1'],
    ['unspecified', '0.0.0.0'],
    ['link-local', '169.254.169.254'],
    ['private', '10.0.0.1'],
    ['6to4', '2002:7f00:1::'],
    ['NAT64', '64:ff9b::a9fe:a9fe'],
    ['Azure’s metadata', '168.63.129.16'],
  ])('connects to no %s address that an allowed name is said to have', async (_, address) => {
    const fetch = guarded(['hub.example'], { resolve: at(address) });
    const asked = fetch('https://hub.example/x');
    await expect(asked).rejects.toMatchObject(refused);
    await expect(asked).rejects.toThrow(address);
  });

  it('passes over the inner addresses of a name that has public ones as well', async () => {
    const asked: string[] = [];
    const fetch = guarded(['hub.example'], {
      resolve: async (host) => {
        asked.push(host);
        return [
          { address: '127.0.0.1', family: 4 },
          { address: '10.1.1.1', family: 4 },
        ];
      },
    });
    await expect(fetch('https://hub.example/')).rejects.toMatchObject(refused);
    expect(asked).toEqual(['hub.example']);
  });

  it('looks at the address again at each connection, so that a name that changes its address leads nowhere', async () => {
    const { port, origin, connections } = await serve((_, response) => {
      response.writeHead(200, { connection: 'close' }).end('ok');
    });
    const answers = [['127.0.0.1'], ['169.254.169.254'], ['::ffff:127.0.0.1']];
    const host = `http://hub.internal:${port}`;
    const fetch = guarded([host], { resolve: async () => at(...(answers.shift() ?? []))() });
    expect(await (await fetch(`${host}/`)).text()).toBe('ok');
    await expect(fetch(`${host}/`)).rejects.toMatchObject(refused);
    await expect(fetch(`${host}/`)).rejects.toMatchObject(refused);
    expect(connections()).toBe(1);
    expect(origin).toContain(`${port}`);
  });

  it('goes to no metadata address even where an operator has written it down', async () => {
    for (const origin of [
      'http://169.254.169.254',
      'http://[fd00:ec2::254]',
      'http://0.0.0.0:8999',
      'http://[::ffff:7f00:1]:8999',
    ]) {
      await expect(guarded([origin])(`${origin}/latest/meta-data`)).rejects.toMatchObject(refused);
    }
  });

  it.each([
    'https://2130706433/',
    'https://0x7f000001/',
    'https://0177.0.0.1/',
    'https://127.1/',
    'https://[::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[64:ff9b::7f00:1]/',
  ])('takes %s for what it is', async (url) => {
    await expect(guarded(['huggingface.co', '*.hf.co'])(url)).rejects.toMatchObject(refused);
  });

  it('checks each redirect, and follows none to a host that is not allowed', async () => {
    const inner = await serve();
    const outer = await serve((_, response) => {
      response.writeHead(302, { location: `${inner.origin}/secret` }).end();
    });
    await expect(guarded([outer.origin])(`${outer.origin}/x`)).rejects.toMatchObject(refused);
    expect([outer.connections(), inner.connections()]).toEqual([1, 0]);
  });

  it.each([
    'http://169.254.169.254/',
    'file:///etc/passwd',
    'http://[::1]:1/',
    '//127.0.0.1:1/',
    'gopher://x/',
    'http://',
    'https://user:secret@huggingface.co/',
  ])('follows no redirect to %s', async (location) => {
    const outer = await serve((_, response) => response.writeHead(307, { location }).end());
    await expect(guarded([outer.origin, 'huggingface.co'])(`${outer.origin}/`)).rejects.toMatchObject(
      refused,
    );
  });

  it('tells no other host of a redirect the token', async () => {
    const cdn = await serve();
    const hub = await serve((request, response) => {
      if (request.url === '/same') response.end('same');
      else response.writeHead(302, { location: request.url === '/a' ? '/same' : `${cdn.origin}/file` }).end();
    });
    const fetch = guarded([hub.origin, cdn.origin]);
    const headers = { authorization: 'Bearer canary', cookie: 'canary', range: 'bytes=0-0' };
    await fetch(`${hub.origin}/a`, { headers });
    expect(hub.seen.at(-1)?.headers.authorization).toBe('Bearer canary');
    await fetch(`${hub.origin}/b`, { headers });
    expect(cdn.seen[0]?.headers).toMatchObject({ range: 'bytes=0-0' });
    expect(JSON.stringify(cdn.seen[0]?.headers)).not.toContain('canary');
  });

  it('follows only so many redirects', async () => {
    const server = await serve((request, response) => {
      response.writeHead(302, { location: `${request.url}x` }).end();
    });
    await expect(guarded([server.origin])(`${server.origin}/`)).rejects.toMatchObject(refused);
    expect(server.seen.length).toBe(6);
  });

  it('waits only so long for an answer and for its next byte', async () => {
    const silent = await serve(() => {});
    const fetch = guarded([silent.origin], { idleMilliseconds: 300 });
    await expect(fetch(`${silent.origin}/`)).rejects.toMatchObject({ code: 'source_unavailable' });
    const stuck = await serve((_, response) => {
      response.writeHead(200, { 'content-length': '10' }).write('half');
    });
    const response = await guarded([stuck.origin], { idleMilliseconds: 300 })(`${stuck.origin}/`);
    await expect(response.text()).rejects.toThrow();
  });

  it('says that a server is not there', async () => {
    const fetch = guarded(['http://127.0.0.1:8998']);
    await expect(fetch('http://127.0.0.1:8998/')).rejects.toMatchObject({
      code: 'source_unavailable',
      message: '127.0.0.1:8998 cannot be reached (ECONNREFUSED)',
    });
  });

  it('stops when it is told to', async () => {
    const silent = await serve(() => {});
    const signal = AbortSignal.timeout(50);
    await expect(guarded([silent.origin])(`${silent.origin}/`, { signal })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
  });
});
