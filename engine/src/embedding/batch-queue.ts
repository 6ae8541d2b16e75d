/** What waits to be embedded, and which of it runs next. */

/** An input as token ids. */
export interface WaitingInput {
  readonly request: number;
  /** Its place in the request. */
  readonly index: number;
  readonly ids: readonly number[];
}

/**
 * Inputs of one length run together, so that nothing has to be padded. Requests take turns in beginning a batch: one of
 * thousands of texts does not keep a single one waiting for longer than a batch.
 */
export class BatchQueue {
  readonly #mostTokens: number;
  /** In the order of their turns. */
  readonly #requests = new Map<number, WaitingInput[]>();

  /** @param mostTokens that a batch has, unless it is a single input */
  constructor(mostTokens: number) {
    this.#mostTokens = mostTokens;
  }

  get isEmpty(): boolean {
    return this.#requests.size === 0;
  }

  add(request: number, inputs: readonly WaitingInput[]): void {
    if (inputs.length > 0) this.#requests.set(request, [...inputs]);
  }

  /** Forgets what still waits of a request. */
  drop(request: number): void {
    this.#requests.delete(request);
  }

  /** Takes the next batch; empty where nothing waits. */
  take(): WaitingInput[] {
    const first = [...this.#requests.keys()][0];
    const lead = first === undefined ? undefined : this.#requests.get(first)?.[0];
    if (first === undefined || lead === undefined) return [];
    const length = lead.ids.length;
    // A product of one row may be computed by another routine than one of several.
    let room = length === 1 ? 1 : Math.max(1, Math.floor(this.#mostTokens / length));
    const batch: WaitingInput[] = [];
    for (const [request, inputs] of [...this.#requests]) {
      const rest: WaitingInput[] = [];
      for (const input of inputs) {
        if (room > 0 && input.ids.length === length) {
          batch.push(input);
          room--;
        } else {
          rest.push(input);
        }
      }
      // Set again, a key comes last.
      if (request === first) this.#requests.delete(request);
      if (rest.length > 0) this.#requests.set(request, rest);
      else this.#requests.delete(request);
      if (room === 0) break;
    }
    return batch;
  }
}
