import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The repository's root folder, seen from `benchmarks/dist`. */
export const ROOT = join(import.meta.dirname, '..', '..');

const START_TIMEOUT_MS = 300_000;

/** A gateway in a process of its own. */
export interface GatewayProcess {
  /** Without a slash at its end: `http://127.0.0.1:…`. */
  readonly url: string;
  /** Stops it and waits until it has gone. */
  stop(): Promise<void>;
}

/** Starts the built gateway and waits until it is ready. Its log goes to standard error. */
export async function startGateway(flags: readonly string[]): Promise<GatewayProcess> {
  const cli = join(ROOT, 'gateway', 'dist', 'cli.js');
  const gateway = await launch(process.execPath, [cli, 'serve', '--log-level', 'warn', ...flags]);
  try {
    await untilReady(gateway);
  } catch (error) {
    await gateway.stop();
    throw error;
  }
  return gateway;
}

/** Starts a command that serves on the port that is added to its arguments; does not wait for it. */
export async function launch(
  command: string,
  args: readonly string[],
): Promise<GatewayProcess & { child: ChildProcess }> {
  const port = await freePort();
  const child = spawn(command, [...args, '--port', String(port)], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit'],
    // A process group of its own, so that stopping reaches what npm started.
    detached: true,
  });
  const exited = once(child, 'exit');
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      process.kill(-child.pid, 'SIGTERM');
    }
    await exited;
  };
  return { url: `http://127.0.0.1:${port}`, child, stop };
}

async function untilReady({ url, child }: { url: string; child: ChildProcess }): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`the gateway ended with status ${child.exitCode}`);
    const response = await fetch(`${url}/readyz`).catch(() => null);
    if (response?.ok) return;
    await sleep(50);
  }
  throw new Error(`the gateway was not ready within ${START_TIMEOUT_MS / 1000} s`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port to listen on');
  return address.port;
}
