import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';

export interface CuttingProxy {
  readonly url: string;
  /** Connections that were cut. */
  readonly cuts: () => number;
  close(): Promise<void>;
}

/** Stands between a client and a server, and cuts connections over which so many bytes have gone, the first few of them. */
export async function startCuttingProxy(
  target: string,
  { afterBytes, times }: { afterBytes: number; times: number },
): Promise<CuttingProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let cuts = 0;
  const server = createServer((client) => {
    const upstream = dial(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
    }
    let bytes = 0;
    let isCut = false;
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('data', (chunk) => {
        bytes += chunk.length;
        if (isCut) return;
        if (bytes > afterBytes && cuts < times) {
          isCut = true;
          cuts++;
          client.resetAndDestroy();
          // What has come this far still goes on.
          upstream.end();
        } else if (!to.destroyed && !to.write(chunk)) from.pause();
      });
      to.on('drain', () => from.resume());
      from.on('end', () => to.end());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cuts: () => cuts,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
