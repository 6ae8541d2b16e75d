import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';

/** Stands before a server, which for its clients is there or not as a test has it. */
export interface Door {
  /** The server's URL, through it. */
  readonly url: string;
  /** Ends all connections, and every new one at once. */
  shut(): void;
  /** Lets nothing through, in either direction, and tells nobody. */
  hang(): void;
  /** Lets through again, over new connections. */
  open(): void;
  close(): Promise<void>;
}

export async function startDoor(target: string): Promise<Door> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let state: 'open' | 'shut' | 'hanging' = 'open';
  const end = () => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((client) => {
    if (state === 'shut') return void client.destroy();
    const upstream = dial(Number(port), hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.on('data', (chunk) => void (state === 'open' && to.write(chunk)));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(target);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    shut() {
      state = 'shut';
      end();
    },
    hang() {
      state = 'hanging';
    },
    open() {
      // What was swallowed is missing: nothing can go on over the same connections, and a firewall would end them as well.
      end();
      state = 'open';
    },
    async close() {
      end();
      server.close();
      await once(server, 'close');
    },
  };
}
