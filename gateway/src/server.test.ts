import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeServer, createHttpServer, listen } from './server.ts';

let server: Server;
let port: number;
beforeAll(async () => {
  const read = async (request: Request) => new Response(await request.text().catch(() => 'cut off'));
  server = createHttpServer(read, { headersMilliseconds: 200, requestMilliseconds: 400 });
  port = await listen(server, '127.0.0.1', 0);
});
afterAll(() => closeServer(server, 1_000));

describe('a client that does not go on sending', () => {
  it.each([
    ['its headers', 'POST / HTTP/1.1\r\nhost: a\r\n'],
    ['its body', 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf'],
    ['a piece of its body', 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nha'],
  ])('is told so, and its connection is closed: %s', async (_, bytes) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (data) => {
      text += data;
    });
    socket.write(bytes);
    await once(socket, 'close');
    expect(text).toMatch(/^HTTP\/1.1 408 /);
    expect(text).toContain('"code":"request_timeout"');
  });

  it('is not where it has sent all', async () => {
    const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'whole' });
    expect(await response.text()).toBe('whole');
  });
});
