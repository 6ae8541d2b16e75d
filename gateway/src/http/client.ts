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
  if (outgoing === undefined) return clientOfSignal(c.req.raw.signal);
  return {
    get hasLeft() {
      return outgoing.destroyed && !outgoing.writableFinished;
    },
    onLeave(listener) {
      const onClose = () => {
        if (!outgoing.writableFinished) listener();
      };
      outgoing.once('close', onClose);
      return () => outgoing.off('close', onClose);
    },
  };
}

/** Who waits as long as a signal is not aborted. */
export function clientOfSignal(signal: AbortSignal): Client {
  return {
    get hasLeft() {
      return signal.aborted;
    },
    onLeave(listener) {
      signal.addEventListener('abort', listener, { once: true });
      return () => signal.removeEventListener('abort', listener);
    },
  };
}
