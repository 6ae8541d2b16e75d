import { setMaxListeners } from 'node:events';
import { ApiError } from './errors.ts';

/** The room a request holds while it runs. */
export interface Lease {
  /** Aborted when the client leaves or the server can wait no longer; its reason is the ApiError to report. */
  readonly signal: AbortSignal;
  abort(reason: ApiError): void;
  /** Gives the room back; more than once is once. */
  release(): void;
}

/** Counts the sequences being generated or waiting, refuses more than fit, and lets a stop wait for them. */
export class InFlight {
  readonly #capacity: number;
  readonly #running = new Map<AbortController, number>();
  #sequences = 0;
  #draining = false;
  #onIdle: (() => void) | null = null;

  /** @param capacity sequences at once */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /**
   * Takes room for a request's sequences, all of them or none.
   * @throws ApiError engine_overloaded, shutting_down, or invalid_value where they could never fit
   */
  acquire(sequences: number): Lease {
    if (this.#draining) throw new ApiError('shutting_down', 'The server is shutting down.');
    if (sequences > this.#capacity) {
      const message = `This server answers at most ${this.#capacity} prompts times 'n' in one request, but got ${sequences}.`;
      throw new ApiError('invalid_value', message, 'n');
    }
    if (this.#sequences + sequences > this.#capacity) {
      throw new ApiError('engine_overloaded', 'The server is overloaded. Please try again later.');
    }
    const controller = new AbortController();
    // Every choice listens; Node would warn of a leak beyond ten.
    setMaxListeners(0, controller.signal);
    this.#running.set(controller, sequences);
    this.#sequences += sequences;
    return {
      signal: controller.signal,
      abort: (reason) => controller.abort(reason),
      release: () => this.#release(controller),
    };
  }

  #release(controller: AbortController): void {
    this.#sequences -= this.#running.get(controller) ?? 0;
    this.#running.delete(controller);
    if (this.#running.size === 0) this.#onIdle?.();
  }

  /**
   * Refuses new requests and resolves when the running ones have ended; those that take too long are aborted.
   * @param seconds how long they may take
   */
  async drain(seconds: number): Promise<void> {
    this.#draining = true;
    if (this.#running.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      timer = setTimeout(resolve, seconds * 1000);
    });
    clearTimeout(timer);
    const reason = new ApiError('shutting_down', 'The server shut down before the answer was complete.');
    for (const controller of this.#running.keys()) controller.abort(reason);
  }
}
