import { Cancellation } from './cancellation.ts';
import { ApiError } from './errors.ts';

/** The room a request holds while it runs. */
export interface Lease {
  /** Cancelled when the client leaves or the server can wait no longer; its reason is the ApiError to report. */
  readonly cancellation: Cancellation;
  /** Gives the room back; more than once is once. */
  release(): void;
}

/** The heaviest tenant's sequences in flight and how many are still free: beyond this ratio it has to wait. */
const MOST_OF_FREE = 8;

/** Sequences that may be in flight at once. */
export interface InFlightLimits {
  readonly running: number;
  readonly queued: number;
}

/** All that a tenant has in flight. */
interface Own {
  sequences: number;
  /** As of its last request: it may be changed. */
  weight: number;
}

/**
 * Counts the sequences being generated or waiting, refuses more than fit, and lets a stop wait for them.
 *
 * Nobody can fill the queue alone: where more are in flight than run, a tenant may have eight times as many as are free
 * (dynamic thresholds, Choudhury and Hahne 1998), and fewer as far as it weighs less than another in flight. One tenant gets at
 * most 8/9 of the places, whatever it weighs, and there is always one for the next; several that ask for too much come to
 * have as many as they weigh, so that the scheduler has all of them to choose from in the shares that it serves them by.
 */
export class InFlight {
  readonly #limits: InFlightLimits;
  readonly #held = new Set<Cancellation>();
  readonly #ofTenant = new Map<string, Own>();
  #sequences = 0;
  #draining = false;
  #onIdle: (() => void) | null = null;

  /** @param limits asked for each request: they may change */
  constructor(limits: InFlightLimits) {
    this.#limits = limits;
  }

  get draining(): boolean {
    return this.#draining;
  }

  get sequences(): number {
    return this.#sequences;
  }

  sequencesOf(tenant: string): number {
    return this.#ofTenant.get(tenant)?.sequences ?? 0;
  }

  /** Those with sequences in flight. */
  get tenants(): { readonly tenant: string; readonly sequences: number; readonly weight: number }[] {
    return Array.from(this.#ofTenant, ([tenant, { sequences, weight }]) => ({ tenant, sequences, weight }));
  }

  /**
   * Takes room for a request's sequences, all of them or none.
   * @param weight the tenant's share of the server, in relation to others'
   * @throws ApiError engine_overloaded, shutting_down, or invalid_value where they could never fit
   */
  acquire(tenant: string, weight: number, sequences: number): Lease {
    if (this.#draining) throw new ApiError('shutting_down', 'The server is shutting down.');
    const { running, queued } = this.#limits;
    const capacity = running + queued;
    if (sequences > capacity) {
      const message = `This server answers at most ${capacity} prompts times 'n' in one request, but got ${sequences}.`;
      throw new ApiError('invalid_value', message, 'n');
    }
    if (this.#sequences + sequences > capacity) {
      throw new ApiError('engine_overloaded', 'The server is overloaded. Please try again later.');
    }
    let own = this.#ofTenant.get(tenant);
    const ownThen = (own?.sequences ?? 0) + sequences;
    const isQueueing = this.#sequences + sequences > running;
    // One may always be: whoever weighs little comes seldom, and not never.
    const most = Math.max(1, MOST_OF_FREE * this.#share(weight) * (capacity - this.#sequences));
    if (isQueueing && ownThen > most) {
      const message = `You have ${ownThen - sequences} requests in flight and the server is busy. Please try again later.`;
      throw new ApiError('engine_overloaded', message);
    }
    if (own === undefined) {
      own = { sequences, weight };
      this.#ofTenant.set(tenant, own);
    } else {
      own.sequences = ownThen;
      own.weight = weight;
    }
    this.#sequences += sequences;
    const cancellation = new Cancellation();
    this.#held.add(cancellation);
    return { cancellation, release: () => this.#release(cancellation, tenant, sequences) };
  }

  /** A weight as part of the largest in flight. */
  #share(weight: number): number {
    let largest = weight;
    for (const own of this.#ofTenant.values()) largest = Math.max(largest, own.weight);
    return weight / largest;
  }

  #release(cancellation: Cancellation, tenant: string, sequences: number): void {
    if (!this.#held.delete(cancellation)) return;
    this.#sequences -= sequences;
    const own = this.#ofTenant.get(tenant);
    if (own !== undefined) {
      own.sequences -= sequences;
      if (own.sequences === 0) this.#ofTenant.delete(tenant);
    }
    if (this.#held.size === 0) this.#onIdle?.();
  }

  /**
   * Refuses new requests and resolves when the running ones have ended; those that take too long are aborted.
   * @param seconds how long they may take
   */
  async drain(seconds: number): Promise<void> {
    this.#draining = true;
    if (this.#held.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      timer = setTimeout(resolve, seconds * 1000);
    });
    clearTimeout(timer);
    const reason = new ApiError('shutting_down', 'The server shut down before the answer was complete.');
    for (const cancellation of this.#held) cancellation.cancel(reason);
  }
}
