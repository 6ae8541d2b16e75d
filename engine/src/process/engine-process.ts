import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { EngineOptions } from '../config.ts';
import type { OnProgressLine } from '../create-engine.ts';
import { EventQueue } from '../event-queue.ts';
import {
  type AdapterWeights,
  type Engine,
  EngineError,
  type EngineStats,
  errorEvent,
  type GenerationEvent,
  type GenerationRequest,
  type ModelInfo,
  type PageMap,
  type Prompt,
  type TokenText,
} from '../types.ts';
import type { CallName, Calls, Failure, FromEngine, ToEngine } from './messages.ts';

export type EngineProcessOptions = EngineOptions & {
  readonly onProgress?: OnProgressLine;
  /** Told when the process died by itself and is being started again. */
  readonly onRestart?: (reason: string) => void;
};

/** An engine in a process of its own. */
export interface EngineProcess extends Engine {
  /** How often the process died by itself and was started again. */
  readonly restarts: number;
  /** Why it was started again last, or could not be; null: it never was. */
  readonly lastFailure: string | null;
  /** Since when it is ready, or is not, in milliseconds since 1970. */
  readonly since: number;
  /** The process now, for tests and diagnosis; undefined while there is none. */
  readonly pid: number | undefined;
}

/** Waits between attempts to start again, in milliseconds; the last one repeats. */
const RESTART_DELAYS = [0, 1_000, 2_000, 5_000, 10_000, 30_000];
/** A process that ran this long is healthy: the next restart is immediate again. */
const HEALTHY_MILLISECONDS = 60_000;

const WORKER = fileURLToPath(new URL('../../dist/process/engine-worker.js', import.meta.url));

/**
 * Starts an engine in a child process, and again whenever that dies: a native crash costs the running requests
 * (they end with `engine_unavailable`) but not the gateway.
 *
 * @throws EngineError when the first start fails, with what the engine said.
 */
export async function startEngineProcess(options: EngineProcessOptions): Promise<EngineProcess> {
  const { onProgress, onRestart, ...rest } = options;
  const engine = new SupervisedEngine(EngineOptions.parse(rest), onProgress, onRestart);
  await engine.start();
  return engine;
}

interface PendingCall {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: EngineError) => void;
}

class SupervisedEngine implements EngineProcess {
  readonly #options: EngineOptions;
  readonly #onProgress: OnProgressLine | undefined;
  readonly #onRestart: ((reason: string) => void) | undefined;
  readonly #adapters = new Map<string, AdapterWeights>();
  readonly #pinned = new Set<string>();
  readonly #requests = new Map<string, EventQueue<GenerationEvent>>();
  readonly #calls = new Map<number, PendingCall>();
  #child: ChildProcess | null = null;
  #model: ModelInfo | null = null;
  #ready = false;
  #closed = false;
  #nextCall = 0;
  /** Restarts since the process was last healthy. */
  #attempts = 0;
  restarts = 0;
  lastFailure: string | null = null;
  since = Date.now();

  constructor(
    options: EngineOptions,
    onProgress: OnProgressLine | undefined,
    onRestart: ((reason: string) => void) | undefined,
  ) {
    this.#options = options;
    this.#onProgress = onProgress;
    this.#onRestart = onRestart;
  }

  get model(): ModelInfo {
    return this.#model!;
  }

  get ready(): boolean {
    return this.#ready;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process and resolves when it can serve, adapters included. */
  start(): Promise<void> {
    const child = fork(WORKER, {
      serialization: 'advanced',
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    const startedAt = performance.now();
    return new Promise((resolve, reject) => {
      let serving = false;
      child.on('message', (message: FromEngine) => {
        // What a process said before it died may arrive after that was noticed.
        if (this.#child !== child) return;
        if (message.type === 'ready') {
          this.#model = message.model;
          this.#restoreAdapters().then(() => {
            serving = true;
            resolve();
          }, reject);
        } else if (message.type === 'failed') {
          child.kill('SIGKILL');
          reject(asError(message.failure));
        } else {
          this.#receive(message);
        }
      });
      child.on('error', (error) => {
        if (child.pid === undefined) this.#child = null;
        reject(unavailable(`the engine process cannot start: ${error.message}`));
      });
      child.on('exit', (code, signal) => {
        const reason = `the engine process ended (${signal ?? `exit code ${code}`})`;
        if (this.#child === child) this.#lost(reason);
        reject(unavailable(reason));
        if (!serving || this.#closed) return;
        if (performance.now() - startedAt > HEALTHY_MILLISECONDS) this.#attempts = 0;
        void this.#restart(reason);
      });
      this.#send({ type: 'open', options: this.#options });
    });
  }

  async addAdapter(adapter: AdapterWeights): Promise<void> {
    this.#adapters.set(adapter.digest, adapter);
    try {
      await this.#call('addAdapter', adapter);
    } catch (error) {
      // While the process is down it is enough to remember the adapter: a restart adds it again.
      if (error instanceof EngineError && error.code === 'engine_unavailable' && !this.#closed) return;
      this.#adapters.delete(adapter.digest);
      throw error;
    }
  }

  async removeAdapter(digest: string): Promise<void> {
    this.#adapters.delete(digest);
    this.#pinned.delete(digest);
    if (this.#ready) await this.#call('removeAdapter', digest);
  }

  async pinAdapter(digest: string, pinned: boolean): Promise<void> {
    await this.#call('pinAdapter', { digest, pinned });
    if (pinned) this.#pinned.add(digest);
    else this.#pinned.delete(digest);
  }

  async *generate(request: GenerationRequest, signal?: AbortSignal): AsyncGenerator<GenerationEvent> {
    if (!this.#ready) {
      yield errorEvent(unavailable('the engine is starting; try again'));
      return;
    }
    const events = new EventQueue<GenerationEvent>();
    this.#requests.set(request.id, events);
    const abort = () => this.#send({ type: 'abort', id: request.id });
    signal?.addEventListener('abort', abort, { once: true });
    this.#send({ type: 'generate', request });
    if (signal?.aborted) abort();
    try {
      yield* events;
    } finally {
      signal?.removeEventListener('abort', abort);
      if (this.#requests.delete(request.id)) abort();
    }
  }

  tokenize(prompt: Prompt): Promise<number[]> {
    return this.#call('tokenize', prompt);
  }

  detokenize(ids: readonly number[]): Promise<string> {
    return this.#call('detokenize', ids);
  }

  describeTokens(ids: readonly number[]): Promise<TokenText[]> {
    return this.#call('describeTokens', ids);
  }

  stats(): Promise<EngineStats> {
    return this.#call('stats', null);
  }

  pageMap(): Promise<PageMap> {
    return this.#call('pageMap', null);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const child = this.#child;
    if (child === null) return;
    const gone = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
    });
    this.#send({ type: 'close' });
    const stuck = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await gone;
    clearTimeout(stuck);
  }

  async #restoreAdapters(): Promise<void> {
    this.#setReady(true);
    const calls = [...this.#adapters.values()].map((adapter) => this.#call('addAdapter', adapter));
    // One that is refused now was refused before: its requests are told that it is not known.
    await Promise.allSettled(calls);
    await Promise.allSettled(
      [...this.#pinned].map((digest) => this.#call('pinAdapter', { digest, pinned: true })),
    );
    if (!this.#ready) throw unavailable('the engine process ended while it took its adapters');
  }

  async #restart(reason: string): Promise<void> {
    this.#tellFailure(reason);
    while (!this.#closed) {
      await sleep(RESTART_DELAYS[Math.min(this.#attempts++, RESTART_DELAYS.length - 1)]);
      if (this.#closed) return;
      this.restarts++;
      try {
        return await this.start();
      } catch (error) {
        this.#tellFailure(error instanceof Error ? error.message : String(error));
      }
    }
  }

  #tellFailure(reason: string): void {
    this.lastFailure = reason;
    this.#onRestart?.(reason);
  }

  #setReady(ready: boolean): void {
    if (ready !== this.#ready) this.since = Date.now();
    this.#ready = ready;
  }

  #receive(message: Exclude<FromEngine, { type: 'ready' | 'failed' }>): void {
    switch (message.type) {
      case 'progress':
        this.#onProgress?.(message.line);
        break;
      case 'events':
        for (const [id, event] of message.events) this.#deliver(id, event);
        break;
      case 'result':
        this.#take(message.id)?.resolve(message.value);
        break;
      case 'rejected':
        this.#take(message.id)?.reject(asError(message.failure));
        break;
    }
  }

  #deliver(id: string, event: GenerationEvent | null): void {
    const events = this.#requests.get(id);
    if (event !== null) {
      events?.push(event);
    } else {
      this.#requests.delete(id);
      events?.end();
    }
  }

  #take(id: number): PendingCall | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    return call;
  }

  #call<Name extends CallName>(name: Name, args: Calls[Name]['args']): Promise<Calls[Name]['result']> {
    return new Promise((resolve, reject) => {
      if (!this.#ready) return reject(unavailable('the engine is starting; try again'));
      const id = this.#nextCall++;
      this.#calls.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#send({ type: 'call', id, name, args });
    });
  }

  /** Sending to a process that just died is no error here: its 'exit' ends everything that waits for it. */
  #send(message: ToEngine): void {
    if (this.#child?.connected) this.#child.send(message, undefined, undefined, () => {});
  }

  #lost(reason: string): void {
    this.#setReady(false);
    this.#child = null;
    for (const events of this.#requests.values()) {
      events.push(errorEvent(unavailable(reason)));
      events.end();
    }
    this.#requests.clear();
    for (const call of this.#calls.values()) call.reject(unavailable(reason));
    this.#calls.clear();
  }
}

function unavailable(message: string): EngineError {
  return new EngineError('engine_unavailable', message);
}

function asError({ code, message, retryAfterSeconds }: Failure): EngineError {
  return new EngineError(code, message, { retryAfterSeconds });
}
