import type { ChoiceEvent } from '../generation.ts';
import type { Client } from '../http/client.ts';

/**
 * An answer while it is made, for whoever asked for the same at the same time. It goes on as long as one of them waits for it, and as fast
 * as it is made: one who reads slowly keeps nobody up. What is held is one answer, which has an end.
 */
export class Flight {
  readonly #events: ChoiceEvent[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #passengers = new Passengers();
  #joined = 0;
  #end: { readonly error: unknown } | 'whole' | null = null;

  /** All who wait for it, as one: gone when the last is. */
  get client(): Client {
    return this.#passengers;
  }

  /** The question's, once it is found out. */
  category: string | null = null;
  /** By which its answer is found once it is kept; null: it is not. */
  entry: string | null = null;

  /** How many have joined whoever was first. */
  get others(): number {
    return Math.max(0, this.#joined - 1);
  }

  /** Whether nothing of the answer was given to anybody yet. */
  get isEmpty(): boolean {
    return this.#events.length === 0;
  }

  /** Whether all who waited for it have left. */
  get isAbandoned(): boolean {
    return this.#passengers.hasLeft;
  }

  /** @returns what ends the waiting, once the answer was had */
  join(client: Client): () => void {
    this.#joined += 1;
    return this.#passengers.add(client);
  }

  push(event: ChoiceEvent): void {
    this.#events.push(event);
    this.#wake();
  }

  finish(): void {
    this.#end ??= 'whole';
    this.#wake();
  }

  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wake();
  }

  /** Resolves when the answer has begun or ended; rejects where it failed before it had begun. */
  async begun(): Promise<void> {
    while (this.isEmpty && this.#end === null) await this.#more();
    if (this.isEmpty && this.#end !== null && this.#end !== 'whole') throw this.#end.error;
  }

  /** Resolves when the answer is whole; rejects where it failed. */
  async ended(): Promise<void> {
    while (this.#end === null) await this.#more();
    if (this.#end !== 'whole') throw this.#end.error;
  }

  /** The answer from its beginning. */
  async *events(): AsyncGenerator<ChoiceEvent> {
    for (let place = 0; ; place++) {
      while (place === this.#events.length && this.#end === null) await this.#more();
      const event = this.#events[place];
      if (event !== undefined) yield event;
      else if (this.#end === 'whole') return;
      else throw this.#end?.error;
    }
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add(resolve);
    });
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

/** Several who wait for one answer. */
class Passengers implements Client {
  readonly #staying = new Set<Client>();
  readonly #listeners = new Set<() => void>();
  #hasLeft = false;

  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  onLeave(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @returns what ends the listening to this one: it has the answer, or has given up */
  add(client: Client): () => void {
    this.#staying.add(client);
    const gone = () => {
      stopListening();
      if (this.#staying.delete(client) && this.#staying.size === 0) this.#leave();
    };
    const stopListening = client.onLeave(gone);
    if (client.hasLeft) gone();
    return gone;
  }

  #leave(): void {
    this.#hasLeft = true;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }
}
