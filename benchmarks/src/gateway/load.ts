import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A server with a chat route. */
export interface LoadTarget {
  readonly url: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of the body, beside what all are asked for. */
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface ClosedLoad {
  readonly kind: 'closed';
  readonly target: LoadTarget;
  readonly connections: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export interface OpenLoad {
  readonly kind: 'open';
  readonly target: LoadTarget;
  readonly perSecond: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export interface StreamLoad {
  readonly kind: 'streams';
  readonly target: LoadTarget;
  readonly streams: number;
  readonly tokens: number;
  /** Tokens of each, as the upstream gives them. */
  readonly perSecond: number;
}

export type LoadRequest = ClosedLoad | OpenLoad | StreamLoad;

/** Latencies in milliseconds. */
export interface LoadResult {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

export interface StreamResult {
  readonly streams: number;
  /** Streams that came within 5 % of the upstream's rate. */
  readonly keptUp: number;
  /** Tokens a second. */
  readonly slowest: number;
  /** Between two tokens, in milliseconds. */
  readonly gapP50: number;
  readonly gapP99: number;
}

/** The load generator, in a process of its own. */
export class LoadGenerator {
  readonly #child: ChildProcess = fork(join(import.meta.dirname, 'load-worker.js'));

  run(request: ClosedLoad | OpenLoad): Promise<LoadResult>;
  run(request: StreamLoad): Promise<StreamResult>;
  async run(request: LoadRequest): Promise<LoadResult | StreamResult> {
    this.#child.send(request);
    const [{ result, error }] = (await once(this.#child, 'message')) as [
      { result?: LoadResult; error?: string },
    ];
    if (result === undefined) throw new Error(`${request.target.url}: ${error}`);
    return result;
  }

  stop(): void {
    this.#child.kill();
  }
}

/** A server of the benchmark's, in a process of its own. */
export interface RunningServer {
  readonly url: string;
  stop(): void;
}

/** The stub upstream. */
export function startStub(): Promise<RunningServer> {
  return start('stub.js');
}

/** The least that a gateway could be. */
export function startPassThrough(upstream: string): Promise<RunningServer> {
  return start('pass-through.js', upstream);
}

async function start(script: string, ...args: readonly string[]): Promise<RunningServer> {
  const child = spawn(process.execPath, [join(import.meta.dirname, script), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [port] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { url: `http://127.0.0.1:${port}`, stop: () => void child.kill() };
}
