/** The embedding model in a thread of its own, which is started when it is first needed. */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Failure } from '../process/messages.ts';
import { EngineError } from '../types.ts';
import type { EmbedderOptions, FromWorker, ToWorker } from './messages.ts';
import type { Embedder, EmbedderStats, Embedding, EmbedRequest, EncoderInfo } from './types.ts';

const WORKER = fileURLToPath(new URL('../../dist/embedding/embedding-worker.js', import.meta.url));

/** Inputs that may wait: four of OpenAI's largest requests, which take the machine minutes. */
const MOST_WAITING = 8192;

interface Call {
  readonly resolve: (embeddings: readonly Embedding[]) => void;
  readonly reject: (error: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly ready: Promise<EncoderInfo>;
  readonly calls: Map<number, Call>;
  isReady: boolean;
}

/** Makes an embedder; nothing is fetched or loaded before it is asked for something. */
export function createEmbedder(
  options: EmbedderOptions & { readonly onProgress?: (line: string) => void },
): Embedder {
  const { onProgress, ...rest } = options;
  return new WorkerEmbedder(rest, onProgress ?? (() => {}));
}

class WorkerEmbedder implements Embedder {
  readonly #options: EmbedderOptions;
  readonly #onProgress: (line: string) => void;
  /** null before it is first needed, and after it failed. */
  #thread: Thread | null = null;
  #closed = false;
  #nextCall = 0;
  #waiting = 0;
  readonly #totals = { tokens: 0, inputs: 0, batches: 0, seconds: 0 };
  model: EncoderInfo | null = null;

  constructor(options: EmbedderOptions, onProgress: (line: string) => void) {
    this.#options = options;
    this.#onProgress = onProgress;
  }

  load(): Promise<EncoderInfo> {
    return this.#started().ready;
  }

  async embed(request: EmbedRequest, signal?: AbortSignal): Promise<readonly Embedding[]> {
    const inputs = request.inputs.length;
    if (inputs === 0) return [];
    signal?.throwIfAborted();
    if (this.#waiting > 0 && this.#waiting + inputs > MOST_WAITING) {
      throw new EngineError(
        'engine_overloaded',
        'Too many texts wait to be embedded. Please try again later.',
      );
    }
    this.#waiting += inputs;
    try {
      const thread = this.#started();
      // At once where it can be: what the caller does meanwhile takes no time of it.
      if (!thread.isReady) await thread.ready;
      signal?.throwIfAborted();
      return await this.#call(thread, request, signal);
    } finally {
      this.#waiting -= inputs;
    }
  }

  stats(): EmbedderStats {
    const { tokens, inputs, batches, seconds } = this.#totals;
    return {
      waiting: this.#waiting,
      tokensTotal: tokens,
      inputsTotal: inputs,
      batchesTotal: batches,
      secondsTotal: seconds,
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    const thread = this.#thread;
    if (thread === null) return;
    const gone = new Promise<void>((resolve) => {
      thread.worker.once('exit', () => resolve());
    });
    post(thread, { type: 'close' });
    // While it still fetches or prepares a model it listens to nothing.
    if (this.model === null) await thread.worker.terminate();
    await gone;
  }

  #started(): Thread {
    if (this.#closed) throw new EngineError('engine_unavailable', 'the embedding model was stopped');
    this.#thread ??= this.#start();
    return this.#thread;
  }

  #start(): Thread {
    const worker = new Worker(WORKER, { workerData: this.#options, execArgv: [] });
    const calls = new Map<number, Call>();
    const ready = new Promise<EncoderInfo>((resolve, reject) => {
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'ready') {
          this.model = message.info;
          resolve(message.info);
        } else if (message.type === 'failed') {
          reject(asError(message.failure));
        } else {
          this.#receive(calls, message);
        }
      });
      let reason = 'the embedding model was stopped';
      worker.on('error', (error) => {
        reason = `the embedding model's thread ended (${error.message})`;
      });
      worker.on('exit', () => {
        // The next who asks starts it again.
        if (this.#thread?.worker === worker) this.#thread = null;
        const error = new EngineError('engine_unavailable', reason);
        reject(error);
        for (const call of calls.values()) call.reject(error);
        calls.clear();
      });
    });
    const thread: Thread = { worker, ready, calls, isReady: false };
    ready.then(
      () => {
        thread.isReady = true;
      },
      // Whoever waits for it is told; where nobody does, that is no fault of the process.
      () => {},
    );
    return thread;
  }

  #call(thread: Thread, request: EmbedRequest, signal?: AbortSignal): Promise<readonly Embedding[]> {
    const { calls } = thread;
    const id = this.#nextCall++;
    return new Promise((resolve, reject) => {
      const abort = () => {
        post(thread, { type: 'cancel', id });
        if (calls.delete(id)) reject(signal?.reason);
      };
      const settled = () => signal?.removeEventListener('abort', abort);
      calls.set(id, {
        resolve: (embeddings) => {
          settled();
          resolve(embeddings);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      });
      signal?.addEventListener('abort', abort, { once: true });
      post(thread, { type: 'embed', id, request });
    });
  }

  #receive(calls: Map<number, Call>, message: Exclude<FromWorker, { type: 'ready' | 'failed' }>): void {
    switch (message.type) {
      case 'progress':
        this.#onProgress(message.line);
        break;
      case 'batch':
        this.#totals.batches += 1;
        this.#totals.inputs += message.inputs;
        this.#totals.tokens += message.tokens;
        this.#totals.seconds += message.seconds;
        break;
      case 'embedded':
        take(calls, message.id)?.resolve(message.embeddings);
        break;
      case 'rejected':
        take(calls, message.id)?.reject(asError(message.failure));
        break;
    }
  }
}

function take(calls: Map<number, Call>, id: number): Call | undefined {
  const call = calls.get(id);
  calls.delete(id);
  return call;
}

function post(thread: Thread, message: ToWorker): void {
  thread.worker.postMessage(message);
}

function asError({ code, message, retryAfterSeconds }: Failure): EngineError {
  return new EngineError(code, message, { retryAfterSeconds });
}
