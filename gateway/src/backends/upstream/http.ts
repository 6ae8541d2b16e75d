import { type Dispatcher, Pool } from 'undici';
import type { Cancellation } from '../../cancellation.ts';
import type { TraceHeaders } from '../backend.ts';
import { AnswerTooLarge } from './failure.ts';

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** An answer's head, and its body as far as it is known. */
export interface UpstreamAnswer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

/** A body that is read as it comes. */
export interface UpstreamBody {
  /** The next piece, in the order they came; null at the end. @throws where the connection broke */
  next(): Promise<Buffer | null>;
  /** Ends the request where it still runs: the upstream notices. */
  cancel(): void;
}

/** How long a connection may take. */
const CONNECT_MILLISECONDS = 5_000;
/** Longer than any answer takes that is made whole before its first byte, and as long as the SDKs wait. */
const SILENCE_MILLISECONDS = 10 * 60_000;
/** Of a body that is read slower than it comes, so much waits here; the rest stays in the sockets. */
const MOST_WAITING_BYTES = 64 << 10;

/** Requests to one upstream over kept connections. */
export class UpstreamHttp {
  readonly origin: string;
  readonly #pool: Pool;
  readonly #path: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #mostBytes: number;
  readonly #postHeaders: Readonly<Record<string, string>>;

  /**
   * @param url where `/v1` is; a path before it is kept
   * @param key sent as a bearer token; null: none
   * @param mostBytes of a whole answer
   */
  constructor(url: string, key: string | null, mostBytes: number) {
    this.#mostBytes = mostBytes;
    const { origin, pathname } = new URL(url);
    this.origin = origin;
    this.#path = pathname.replace(/\/+$/, '').replace(/\/v1$/, '');
    this.#pool = new Pool(origin, {
      connect: { timeout: CONNECT_MILLISECONDS },
      headersTimeout: SILENCE_MILLISECONDS,
      bodyTimeout: SILENCE_MILLISECONDS,
    });
    this.#headers = {
      accept: 'application/json',
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    };
    this.#postHeaders = { ...this.#headers, 'content-type': 'application/json' };
  }

  /** @throws where there is no answer, AnswerTooLarge; the reason it was cancelled for */
  get(path: string, cancellation: Cancellation): Promise<UpstreamAnswer<Buffer>> {
    return new Promise((resolve, reject) => {
      const options = { method: 'GET', path: this.#path + path, headers: this.#headers } as const;
      this.#pool.dispatch(options, new WholeBody(this.#mostBytes, cancellation, resolve, reject));
    });
  }

  /**
   * The whole answer.
   * @param onSend told when there is a connection, and the upstream may begin
   * @param headers beside those of every request
   * @throws where there is none, AnswerTooLarge; the reason it was cancelled for
   */
  post(
    path: string,
    body: object,
    cancellation: Cancellation,
    onSend = () => {},
    headers: TraceHeaders | null = null,
  ): Promise<UpstreamAnswer<Buffer>> {
    return new Promise((resolve, reject) => {
      const whole = new WholeBody(this.#mostBytes, cancellation, resolve, reject, onSend);
      this.#pool.dispatch(this.#posted(path, body, headers), whole);
    });
  }

  /**
   * The answer as it comes.
   * @param onSend as with `post`
   * @param headers as with `post`
   * @throws where there is none; the reason it was cancelled for
   */
  stream(
    path: string,
    body: object,
    cancellation: Cancellation,
    onSend = () => {},
    headers: TraceHeaders | null = null,
  ): Promise<UpstreamAnswer<UpstreamBody>> {
    return new Promise((resolve, reject) => {
      const streamed = new StreamedBody(cancellation, resolve, reject, onSend);
      this.#pool.dispatch(this.#posted(path, body, headers), streamed);
    });
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  #posted(path: string, body: object, headers: TraceHeaders | null): Dispatcher.DispatchOptions {
    return {
      method: 'POST',
      path: this.#path + path,
      headers: headers === null ? this.#postHeaders : { ...this.#postHeaders, ...headers },
      body: JSON.stringify(body),
    };
  }
}

/** Ends a request that is cancelled; what cancels it lives longer than the request. */
class Ending {
  readonly #cancellation: Cancellation;
  readonly #stopListening: () => void;
  #controller: Dispatcher.DispatchController | null = null;

  /** @param giveUp told the reason where it has not been sent: nobody need wait until it could be */
  constructor(cancellation: Cancellation, giveUp: (reason: unknown) => void) {
    this.#cancellation = cancellation;
    this.#stopListening = cancellation.onCancel((reason) =>
      this.#controller === null ? giveUp(reason) : this.#controller.abort(reason as Error),
    );
  }

  /** To be called whenever the request is sent: undici may do so again. */
  begin(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#cancellation.isCancelled)
      this.#cancellation.onCancel((reason) => controller.abort(reason as Error));
  }

  end(): void {
    this.#stopListening();
  }
}

class WholeBody implements Dispatcher.DispatchHandler {
  readonly #ending: Ending;
  readonly #resolve: (answer: UpstreamAnswer<Buffer>) => void;
  readonly #reject: (error: unknown) => void;
  readonly #onSend: () => void;
  readonly #mostBytes: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #status = 0;
  #headers: Headers = {};

  constructor(
    mostBytes: number,
    cancellation: Cancellation,
    resolve: (answer: UpstreamAnswer<Buffer>) => void,
    reject: (error: unknown) => void,
    onSend = () => {},
  ) {
    this.#ending = new Ending(cancellation, reject);
    this.#resolve = resolve;
    this.#reject = reject;
    this.#onSend = onSend;
    this.#mostBytes = mostBytes;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#onSend();
    this.#ending.begin(controller);
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Headers): void {
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.length;
    // What came is let go of at once, and the upstream notices that nobody reads any further.
    if (this.#bytes > this.#mostBytes) {
      this.#chunks.length = 0;
      controller.abort(new AnswerTooLarge(this.#mostBytes));
    } else this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    this.#ending.end();
    const [first = Buffer.alloc(0)] = this.#chunks;
    const body = this.#chunks.length > 1 ? Buffer.concat(this.#chunks) : first;
    this.#resolve({ status: this.#status, headers: this.#headers, body });
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#ending.end();
    this.#reject(error);
  }
}

class StreamedBody implements Dispatcher.DispatchHandler, UpstreamBody {
  readonly #ending: Ending;
  readonly #resolve: (answer: UpstreamAnswer<UpstreamBody>) => void;
  readonly #reject: (error: unknown) => void;
  readonly #onSend: () => void;
  #controller: Dispatcher.DispatchController | null = null;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #hasEnded = false;
  #error: Error | null = null;
  #wake = () => {};

  constructor(
    cancellation: Cancellation,
    resolve: (answer: UpstreamAnswer<UpstreamBody>) => void,
    reject: (error: unknown) => void,
    onSend: () => void,
  ) {
    this.#onSend = onSend;
    this.#ending = new Ending(cancellation, reject);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#onSend();
    this.#ending.begin(controller);
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Headers): void {
    this.#resolve({ status, headers, body: this });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes > MOST_WAITING_BYTES) controller.pause();
    this.#wake();
  }

  onResponseEnd(): void {
    this.#ending.end();
    this.#hasEnded = true;
    this.#wake();
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#ending.end();
    this.#error = error;
    this.#hasEnded = true;
    this.#reject(error);
    this.#wake();
  }

  async next(): Promise<Buffer | null> {
    while (this.#waiting.length === 0) {
      if (this.#error !== null) throw this.#error;
      if (this.#hasEnded) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const [first] = this.#waiting;
    const piece = this.#waiting.length > 1 ? Buffer.concat(this.#waiting) : (first ?? null);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#controller?.resume();
    return piece;
  }

  cancel(): void {
    if (!this.#hasEnded) this.#controller?.abort(new Error('the answer is not read any further'));
  }
}
