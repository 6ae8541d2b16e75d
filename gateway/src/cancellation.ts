import { setMaxListeners } from 'node:events';
import type { ApiError } from './errors.ts';

type Listener = (reason: unknown) => void;

/**
 * Tells whoever works for a request that nobody waits for its answer any more. What an `AbortSignal` does, for a tenth of what
 * one costs: every request has one of these, and few are ever cancelled.
 */
export class Cancellation {
  /** Seldom more than two. */
  readonly #listeners: Listener[] = [];
  #reason: unknown = null;
  #isCancelled = false;
  #signal: AbortSignal | null = null;

  /** A cancellation that follows a signal, which must not outlive it by much: it is listened to until then. */
  static of(signal: AbortSignal): Cancellation {
    const cancellation = new Cancellation();
    if (signal.aborted) cancellation.#cancel(signal.reason);
    else signal.addEventListener('abort', () => cancellation.#cancel(signal.reason), { once: true });
    return cancellation;
  }

  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  /** For what takes a signal. Made when it is first asked for. */
  get signal(): AbortSignal {
    if (this.#signal === null) {
      const controller = new AbortController();
      // Every choice of a request listens; Node would warn of a leak beyond ten.
      setMaxListeners(0, controller.signal);
      this.onCancel((reason) => controller.abort(reason));
      this.#signal = controller.signal;
    }
    return this.#signal;
  }

  /** Tells everybody who listens, the first time it is called. @param reason what the work ends with */
  cancel(reason: ApiError): void {
    this.#cancel(reason);
  }

  /** @throws the reason */
  throwIfCancelled(): void {
    if (this.#isCancelled) throw this.#reason;
  }

  /** @param listener told once: at once, where it is cancelled already @returns what ends the listening */
  onCancel(listener: Listener): () => void {
    if (this.#isCancelled) listener(this.#reason);
    else this.#listeners.push(listener);
    return () => {
      const place = this.#listeners.indexOf(listener);
      if (place >= 0) this.#listeners.splice(place, 1);
    };
  }

  #cancel(reason: unknown): void {
    if (this.#isCancelled) return;
    this.#isCancelled = true;
    this.#reason = reason;
    // What one of them stops is not told.
    for (let next = this.#listeners.shift(); next !== undefined; next = this.#listeners.shift()) next(reason);
  }
}
