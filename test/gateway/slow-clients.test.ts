/** Clients that read next to nothing, and those beside them. RELIABILITY 30. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES } from '../support/engine.ts';
import { type Gateway, metric, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';

const TINY = join(FIXTURES, 'models', 'llama');
const CLIENTS = 1_000;

/** A client that has sent a request, and reads a byte of the answer every second. */
function slowClient(url: string, body: object): Socket {
  const { hostname, port } = new URL(url);
  const text = JSON.stringify({ model: 'base', stream: true, ...body });
  const byte = Buffer.alloc(1);
  const socket: Socket = connect({
    host: hostname,
    port: Number(port),
    onread: {
      buffer: byte,
      callback: () => {
        setTimeout(() => socket.resume(), 1000).unref();
        return false;
      },
    },
  });
  socket.on('error', () => {});
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer slow\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
  return socket;
}

/** Of the gateway's own process. */
function residentMegabytes({ child }: Gateway): number {
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(child.pid)]).toString()) / 1024;
}

describe('a thousand clients that read a byte a second', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    const tiny = ['--model', TINY, '--weights', 'f32', '--pool-megabytes', '256'];
    gateway = await startGateway({
      adapters: null,
      args: [...tiny, '--max-running', '64', '--max-queued', '2000'],
    });
  }, START_MILLISECONDS);
  afterAll(() => gateway?.stop());

  it('take bounded memory, and nothing from the others', async () => {
    const ask = async () => {
      const response = await fetch(`${gateway.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: 'Bearer quick' },
        body: JSON.stringify({ model: 'base', prompt: 'Once', temperature: 0, max_tokens: 8 }),
      });
      expect(response.status).toBe(200);
      return ((await response.json()) as { choices: [{ text: string }] }).choices[0].text;
    };
    const alone = await ask();
    const before = residentMegabytes(gateway);
    const slow = Array.from({ length: CLIENTS }, () =>
      slowClient(gateway.url, { prompt: 'Once', max_tokens: 40, logprobs: 5, ignore_eos: true }),
    );
    try {
      const served = 'polylora_http_requests_total{route="/v1/completions",method="POST",status="200"}';
      await until(async () => (await metric(gateway, served)) >= CLIENTS, 60);
      // All have been computed, whatever their clients have read by then.
      await until(async () => (await metric(gateway, 'vllm:num_requests_running')) === 0, 60);
      const began = performance.now();
      for (let request = 0; request < 5; request++) expect(await ask()).toBe(alone);
      expect(performance.now() - began).toBeLessThan(10_000);
      expect(residentMegabytes(gateway) - before).toBeLessThan(400);
    } finally {
      for (const socket of slow) socket.destroy();
    }
    const places = 'polylora_pool_pages{kind="kv"}';
    await until(async () => (await metric(gateway, places)) === 0);
    expect(await ask()).toBe(alone);
  }, 180_000);
});

describe('an upstream that streams faster than anybody reads', () => {
  it('is made to wait', async () => {
    const chunk = `data: ${JSON.stringify({ choices: [{ index: 0, text: 'x'.repeat(2000) }] })}\n\n`;
    let sent = 0;
    let closed = false;
    const list = JSON.stringify({ data: [{ id: 'endless' }] });
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (data) => {
        if (data.toString('latin1').startsWith('GET')) {
          socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${list.length}\r\n\r\n${list}`);
          return;
        }
        socket.on('close', () => {
          closed = true;
        });
        socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n');
        const more = () => {
          while (!socket.destroyed && socket.write(chunk)) sent += chunk.length;
        };
        socket.on('drain', more);
        more();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const gateway = await startGateway({ adapters: null, args: ['--upstream', url] });
    const slow = slowClient(gateway.url, { prompt: 'Once' });
    try {
      let last = -1;
      // Until nothing more is taken: all that is on its way is in the sockets' buffers, and a little here.
      await until(async () => {
        const [now] = [sent, await sleep(500)];
        const stands = now === last && now > 0;
        last = now;
        return stands;
      }, 60);
      expect(sent).toBeLessThan(64 << 20);
      slow.destroy();
      await until(() => closed);
    } finally {
      slow.destroy();
      await gateway.stop();
      server.close();
    }
  }, 120_000);
});
