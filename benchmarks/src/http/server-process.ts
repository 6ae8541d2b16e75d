import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from '../paths.ts';
import { freePort } from './free-port.ts';

const READY_POLL_MS = 50;

/** Servers in process groups of their own outlive this process unless they are told. */
const running = new Set<ChildProcess>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const child of running) terminate(child);
    process.kill(process.pid, signal);
  });
}

/** An HTTP server in a process of its own. */
export interface ServerProcess {
  /** Without a slash at its end: `http://127.0.0.1:…`. */
  readonly url: string;
  readonly child: ChildProcess;
  /** Stops it and waits until it has gone, which it may have. */
  stop(): Promise<void>;
}

interface LaunchOptions {
  /** Added to this process's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where its standard error and output go; without it, errors go to this process's and the output nowhere. */
  readonly logFile?: string;
  /** How the command is told its port. */
  readonly portFlag?: (port: number) => readonly string[];
}

/** Starts a command that serves on the port that is added to its arguments; does not wait for it. */
export async function launch(
  command: string,
  args: readonly string[],
  { env = {}, logFile, portFlag = (port) => ['--port', String(port)] }: LaunchOptions = {},
): Promise<ServerProcess> {
  const port = await freePort();
  const log = logFile === undefined ? null : openSync(logFile, 'w');
  const child = spawn(command, [...args, ...portFlag(port)], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', log ?? 'ignore', log ?? 'inherit'],
    // A process group of its own, so that stopping reaches what npm started.
    detached: true,
  });
  running.add(child);
  const exited = once(child, 'exit').finally(() => running.delete(child));
  const stop = async () => {
    terminate(child);
    await exited;
  };
  return { url: `http://127.0.0.1:${port}`, child, stop };
}

/**
 * Waits until the server answers a path with success.
 * @throws Error when it ends or takes longer than `timeoutMs`; it has been stopped then.
 */
export async function untilReady(server: ServerProcess, path: string, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline && server.child.exitCode === null && server.child.signalCode === null) {
    const response = await fetch(`${server.url}${path}`).catch(() => null);
    if (response?.ok) return;
    await sleep(READY_POLL_MS);
  }
  const { spawnfile, exitCode } = server.child;
  await server.stop();
  throw new Error(
    exitCode === null
      ? `${spawnfile} was not ready within ${timeoutMs / 1000} s`
      : `${spawnfile} ended with status ${exitCode} before it was ready`,
  );
}

function terminate({ pid, exitCode, signalCode }: ChildProcess): void {
  if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, 'SIGTERM');
}
