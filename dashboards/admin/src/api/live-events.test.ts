import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EventSource as NodeEventSource } from 'undici';
import { afterEach, expect, test, vi } from 'vitest';
import { type Connection, listen } from './live-events.ts';

let server: Server | null = null;
/** Streams that are open at the server. */
let streams = 0;
let stop: () => void = () => {};

afterEach(async () => {
  stop();
  server?.closeAllConnections();
  await new Promise((resolve) => (server === null ? resolve(null) : server.close(resolve)));
  server = null;
  streams = 0;
});

/** A server that answers its first request by the first way, and so on; the last way is for all that follow. */
async function serve(...ways: ((response: ServerResponse) => void)[]): Promise<string> {
  let asked = 0;
  server = createServer((_request, response) => {
    const way = ways[Math.min(asked, ways.length - 1)]!;
    asked += 1;
    way(response);
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/live`;
}

function events(text: string, ends: boolean) {
  return (response: ServerResponse) => {
    streams += 1;
    response.on('close', () => {
      streams -= 1;
    });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`retry: 10\n\n${text}`);
    if (ends) response.end();
  };
}

const refuse = (response: ServerResponse) => response.writeHead(503).end();

/** A tab that somebody looks at, or does not. */
class Tab extends EventTarget {
  hidden: boolean;

  constructor(hidden: boolean) {
    super();
    this.hidden = hidden;
  }

  turn(hidden: boolean): void {
    this.hidden = hidden;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}

function follow(url: string, { hidden = false, mostSilence = 60_000 } = {}) {
  const tab = new Tab(hidden);
  const seen: unknown[] = [];
  const connections: Connection[] = [];
  stop = listen(url, {
    on: { snapshot: (data) => seen.push(data) },
    onConnection: (connection) => connections.push(connection),
    open: (at) => new NodeEventSource(at) as unknown as EventSource,
    page: tab as unknown as Document,
    firstDelay: 10,
    mostSilence,
  });
  return { seen, connections, tab };
}

test('hears the events that it asked for', async () => {
  const { seen, connections } = follow(
    await serve(events('event: other\ndata: 0\n\nevent: snapshot\ndata: {"at":1}\n\n', false)),
  );
  await vi.waitFor(() => expect(seen).toEqual([{ at: 1 }]));
  expect(connections).toEqual(['connecting', 'open']);
});

test('goes on after a connection that broke', async () => {
  const { seen, connections } = follow(
    await serve(events('event: snapshot\ndata: 1\n\n', true), events('event: snapshot\ndata: 2\n\n', false)),
  );
  await vi.waitFor(() => expect(seen).toEqual([1, 2]));
  expect(connections).toEqual(['connecting', 'open', 'lost', 'open']);
});

test('tries again where the server refuses, which a browser does not by itself', async () => {
  const { seen, connections } = follow(
    await serve(refuse, refuse, events('event: snapshot\ndata: 3\n\n', false)),
  );
  await vi.waitFor(() => expect(seen).toEqual([3]));
  expect(connections).toEqual(['connecting', 'lost', 'lost', 'open']);
});

test('asks no more once it is stopped', async () => {
  let asked = 0;
  const { connections } = follow(
    await serve((response) => {
      asked += 1;
      refuse(response);
    }),
  );
  await vi.waitFor(() => expect(connections).toContain('lost'));
  stop();
  const before = asked;
  // Longer than the tries that would have followed.
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(asked).toBeLessThanOrEqual(before + 1);
});

test('takes a stream in which nothing comes for lost, and asks again', async () => {
  const { seen, connections } = follow(
    await serve(events('event: snapshot\ndata: 1\n\n', false), events('event: snapshot\ndata: 2\n\n', false)),
    { mostSilence: 1_000 },
  );
  await vi.waitFor(() => expect(seen).toEqual([1, 2]), 10_000);
  expect(connections).toEqual(['connecting', 'open', 'lost', 'open']);
  expect(streams).toBe(1);
});

test('does not wait for ever for a server that takes a connection and says nothing', async () => {
  const { connections } = follow(await serve(() => {}), { mostSilence: 50 });
  await vi.waitFor(() => expect(connections).toEqual(['connecting', 'lost', 'lost']));
});

test('a sign of life is enough to be open', async () => {
  const url = await serve((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const alive = setInterval(() => response.write('event: alive\ndata: {}\n\n'), 50);
    response.on('close', () => clearInterval(alive));
  });
  const { connections, seen } = follow(url, { mostSilence: 1_500 });
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  expect([connections, seen]).toEqual([['connecting', 'open'], []]);
});

test('has no stream open while nobody looks', async () => {
  const { seen, connections, tab } = follow(await serve(events('event: snapshot\ndata: 1\n\n', false)), {
    hidden: true,
  });
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect([streams, connections]).toEqual([0, []]);
  tab.turn(false);
  await vi.waitFor(() => expect(seen).toEqual([1]));
  expect(streams).toBe(1);
  tab.turn(true);
  await vi.waitFor(() => expect(streams).toBe(0));
  expect(connections).toEqual(['connecting', 'open']);
  tab.turn(false);
  await vi.waitFor(() => expect(seen).toEqual([1, 1]));
  expect(connections).toEqual(['connecting', 'open', 'connecting', 'open']);
  stop();
  await vi.waitFor(() => expect(streams).toBe(0));
  tab.turn(false);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(streams).toBe(0);
});
