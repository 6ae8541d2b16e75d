import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiError } from '../errors.ts';
import { createHttpServer, listen } from '../server.ts';
import type { GatewayEnv } from './context.ts';
import { readJsonBody } from './json-body.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const LIMIT_BYTES = 10_000_000;

/** What became of each body, in the order they came. */
const read: Promise<unknown>[] = [];

/** Answers with the body's names, or the code of what is wrong with it. */
const app = new Hono<GatewayEnv>().post('/:limit', async (c) => {
  const body = readJsonBody(c, Number(c.req.param('limit')));
  const outcome = body.then(
    (value) => Object.keys(value),
    (error: unknown) => (error instanceof ApiError ? error.code : String(error)),
  );
  read.push(body.catch((error: unknown) => (error as ApiError).code));
  return c.json(await outcome);
});

let server: Server;
let port: number;

beforeAll(async () => {
  server = createHttpServer(app.fetch);
  port = await listen(server, '127.0.0.1', 0);
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

type Body = string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;

const WAYS = {
  'by itself': (request: Request) => app.request(request),
  "on Node's server": (request: Request) => fetch(request),
};

describe.each(Object.entries(WAYS))('readJsonBody %s', (_, ask) => {
  async function outcome(
    body: Body,
    headers: Record<string, string> = JSON_TYPE,
    limit = LIMIT_BYTES,
  ): Promise<unknown> {
    const init = { method: 'POST', body, headers, duplex: 'half' } as RequestInit;
    return (await ask(new Request(`http://127.0.0.1:${port}/${limit}`, init))).json();
  }

  it('reads an object, whatever brackets its strings hold, in as many pieces as it comes', async () => {
    const value = { a: `${'['.repeat(500)}\\"[`, b: [{ c: null }] };
    expect(await outcome(JSON.stringify(value))).toEqual(['a', 'b']);
    expect(await read.at(-1)).toEqual(value);
    expect(await outcome('{}', { 'content-type': 'application/json; charset=utf-8' })).toEqual([]);
    const large = { a: 'ä€'.repeat(300_000) };
    expect(await outcome(JSON.stringify(large))).toEqual(['a']);
    expect(await read.at(-1)).toEqual(large);
    expect(await outcome(pieces(JSON.stringify(large)))).toEqual(['a']);
    expect(await read.at(-1)).toEqual(large);
  });

  it('refuses what is not JSON, not UTF-8 or not an object', async () => {
    expect(await outcome('{"a":')).toBe('invalid_json');
    expect(await outcome('')).toBe('invalid_json');
    expect(await outcome('[1]')).toBe('invalid_json');
    expect(await outcome('null')).toBe('invalid_json');
    expect(await outcome(Uint8Array.from([0x22, 0xff, 0x22]))).toBe('invalid_json');
    expect(await outcome('"unterminated\\')).toBe('invalid_json');
  });

  it('refuses other media types and compressed bodies', async () => {
    expect(await outcome('{}', { 'content-type': 'text/plain' })).toBe('unsupported_media_type');
    expect(await outcome('{}', {})).toBe('unsupported_media_type');
    expect(await outcome('{}', { ...JSON_TYPE, 'content-encoding': 'gzip' })).toBe('unsupported_media_type');
  });

  it('refuses deep nesting at once', async () => {
    const began = performance.now();
    const deep = 500_000;
    expect(await outcome(`{"a":${'['.repeat(deep)}${']'.repeat(deep)}}`)).toBe('json_too_deep');
    expect(await outcome('{"a":'.repeat(10_000))).toBe('json_too_deep');
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  it('refuses a hundred thousand names unparsed, in one object or in many, and of small objects what is no more together', async () => {
    const named = (count: number, from = 0) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`key-${from + index}`, ':{']));
    const several = (count: number, each: number) =>
      JSON.stringify({ a: Array.from({ length: count }, (_, index) => named(each, index * each)) });
    expect(await outcome(JSON.stringify({ a: named(100_000) }))).toBe('object_above_max_properties');
    expect(await outcome(several(100, 1_000))).toBe('object_above_max_properties');
    expect(await outcome(JSON.stringify({ a: named(10_000) }))).toEqual(['a']);
    expect(await outcome(several(2_400, 20))).toEqual(['a']);
    expect(await outcome(several(2_600, 20))).toBe('object_above_max_properties');
  });

  it('refuses a body beyond the limit, announced or not', async () => {
    const large = JSON.stringify({ a: 'x'.repeat(100_000) });
    expect(await outcome(large, JSON_TYPE, 1_000)).toBe('request_too_large');
    expect(await outcome(pieces(large), JSON_TYPE, 1_000)).toBe('request_too_large');
  });
});

describe('a body that breaks off', () => {
  it('is a client’s that left', async () => {
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error('reset')),
    });
    const init = { method: 'POST', body, duplex: 'half', headers: JSON_TYPE } as RequestInit;
    await app.request(new Request('http://localhost/1000', init));
    expect(await read.at(-1)).toBe('client_closed_request');
  });

  it.each(['content-length: 100', 'transfer-encoding: chunked'])(
    'is that of a socket too: %s',
    async (how) => {
      const before = read.length;
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect');
      const start = how.includes('chunked') ? '7\r\n{"a":"b\r\n' : '{"a":"b';
      socket.write(
        `POST /1000 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${how}\r\n\r\n${start}`,
      );
      await expect.poll(() => read.length).toBe(before + 1);
      socket.destroy();
      expect(await read.at(-1)).toBe('client_closed_request');
    },
  );
});

/** A body whose length is not told. */
function pieces(text: string): ReadableStream<Uint8Array> {
  const bytes = Buffer.from(text);
  let at = 0;
  return new ReadableStream({
    pull: (controller) => {
      // Not at whole characters.
      const next = bytes.subarray(at, at + 10_001);
      at += next.length;
      if (next.length > 0) controller.enqueue(next);
      else controller.close();
    },
  });
}
