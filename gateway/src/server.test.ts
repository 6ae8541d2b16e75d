import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
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

/** What becomes of requests that are refused before their bodies are read. */
describe('a refused request', () => {
  const PIECE = Buffer.alloc(64 << 10, 'x');
  const PIECES = 24;
  type Refuse = (request: Request) => Promise<Response>;
  const REFUSALS: Record<string, Refuse> = {
    'before its body is looked at': async () => new Response('why', { status: 413 }),
    'in the middle of its body': async (request) => {
      // As the parser of forms does.
      const body = request.body?.[Symbol.asyncIterator]();
      await body?.next();
      await body?.return?.();
      return new Response('why', { status: 400 });
    },
  };

  async function serving(refuse: Refuse, use: (port: number) => Promise<void>): Promise<void> {
    const refusing = createHttpServer(refuse);
    try {
      await use(await listen(refusing, '127.0.0.1', 0));
    } finally {
      await closeServer(refusing, 0);
    }
  }

  it.each(Object.keys(REFUSALS))(
    'is told why, though it reads nothing before it has sent all: %s',
    async (how) => {
      await serving(REFUSALS[how] as Refuse, async (refusing) => {
        for (const [head, end] of [
          [`content-length: ${PIECES * PIECE.length}`, ''],
          ['transfer-encoding: chunked', '0\r\n\r\n'],
        ] as const) {
          const socket = connect(refusing, '127.0.0.1');
          const broken = once(socket, 'close').then(() => false);
          socket.write(`POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${head}\r\n\r\n`);
          // For longer than a server may take to give up what is not read.
          for (let piece = 0; piece < PIECES; piece++) {
            if (end !== '') socket.write(`${PIECE.length.toString(16)}\r\n`);
            socket.write(PIECE);
            if (end !== '') socket.write('\r\n');
            expect(await Promise.race([broken, sleep(50, true)])).toBe(true);
          }
          socket.write(end);
          expect(Buffer.concat(await socket.toArray()).toString()).toMatch(/^HTTP\/1.1 4[\s\S]*why/);
        }
      });
    },
  );

  it('is told at once where it waits for that, or would send more than is read for nothing', async () => {
    await serving(
      async () => new Response('why', { status: 413 }),
      async (refusing) => {
        for (const length of [1 << 20, 1 << 30]) {
          const socket = connect(refusing, '127.0.0.1');
          socket.write(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${length}\r\n\r\nhalf`);
          const [told] = await once(socket, 'data');
          expect(String(told)).toMatch(/^HTTP\/1.1 413 /);
          socket.destroy();
        }
        // Without a length it may go on for good.
        const socket = connect(refusing, '127.0.0.1').on('error', () => {});
        socket.write('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n');
        let told = '';
        socket.on('data', (data) => {
          told += data;
        });
        let sent = 0;
        while (told === '' && sent < 1 << 10) {
          socket.write(`${PIECE.length.toString(16)}\r\n`);
          socket.write(PIECE);
          if (!socket.write('\r\n')) await sleep(5);
          sent += 1;
        }
        expect(told).toMatch(/^HTTP\/1.1 413 /);
        expect(sent * PIECE.length).toBeGreaterThan(4 << 20);
        socket.destroy();
      },
    );
  });
});
