import type { ServerResponse } from 'node:http';
import type { Context } from 'hono';
import type { GatewayEnv } from './context.ts';

/** Whoever waits for an answer, and may leave before it. */
export interface Client {
  readonly hasLeft: boolean;
  /** @returns what ends the listening */
  onLeave(listener: () => void): () => void;
}

/** The client of a request over HTTP. */
export function clientOf(c: Context<GatewayEnv>): Client {
  const { outgoing } = c.env ?? {};
  // By Node's own event where there is one: the request's signal would have to be made for it.
  return outgoing === undefined ? new SignalClient(c.req.raw.signal) : new HttpClient(outgoing);
}

/** Who waits as long as a signal is not aborted. */
export function clientOfSignal(signal: AbortSignal): Client {
  return new SignalClient(signal);
}

// Classes, because V8 makes a hidden class of its own for each object that is written with a getter. Hidden classes are never young:
// what hangs on one, here all of a request, would be kept until the next full collection, and be copied until then.

class HttpClient implements Client {
  readonly #outgoing: ServerResponse;

  constructor(outgoing: ServerResponse) {
    this.#outgoing = outgoing;
  }

  get hasLeft(): boolean {
    return this.#outgoing.destroyed && !this.#outgoing.writableFinished;
  }

  onLeave(listener: () => void): () => void {
    const outgoing = this.#outgoing;
    const onClose = () => {
      if (!outgoing.writableFinished) listener();
    };
    outgoing.once('close', onClose);
    return () => outgoing.off('close', onClose);
  }
}

class SignalClient implements Client {
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  get hasLeft(): boolean {
    return this.#signal.aborted;
  }

  onLeave(listener: () => void): () => void {
    this.#signal.addEventListener('abort', listener, { once: true });
    return () => this.#signal.removeEventListener('abort', listener);
  }
}
