import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../benchmarks/src/http/free-port.ts';

/** Where Debian puts it. */
export const REDIS_PROGRAM = '/usr/bin/redis-server';
const START_MILLISECONDS = 10_000;

export interface RedisServer {
  readonly url: string;
  /** Stops it without a word, and what it had is gone. */
  stop(): Promise<void>;
}

/** Whether tests that need Redis can run; they are skipped else. */
export const HAS_REDIS = existsSync(REDIS_PROGRAM);

/**
 * Starts one of its own, which keeps nothing on a disk.
 * @param onPort a port that it had before
 * @param env beside the test's own
 */
export async function startRedis(
  onPort?: number,
  env: Readonly<Record<string, string>> = {},
): Promise<RedisServer & { readonly port: number }> {
  const port = onPort ?? (await freePort());
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const server = spawn(REDIS_PROGRAM, options, { stdio: 'ignore', env: { ...process.env, ...env } });
  const ended = once(server, 'exit');
  const deadline = performance.now() + START_MILLISECONDS;
  while (!(await isListening(port))) {
    if (performance.now() > deadline) throw new Error('redis-server does not start');
    await sleep(20);
  }
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      server.kill('SIGKILL');
      await ended;
    },
  };
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
