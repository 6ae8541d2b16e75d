/** What waits to be embedded, and which of it runs next. */

/** An input as token ids. */
export interface WaitingInput {
  readonly request: number;
  /** Its place in the request. */
  readonly index: number;
  readonly ids: readonly number[];
}

/**
 * Requests take turns in beginning a batch: one of thousands of texts does not keep a single one waiting for longer than a
 * batch. What nobody waits for runs when nothing else does.
 */
export class BatchQueue {
  readonly #mostTokens: number;
  /** In the order of their turns. */
  readonly #requests = new Map<number, WaitingInput[]>();
  /** Those of them that nobody waits for. */
  readonly #background = new Set<number>();

  /** @param mostTokens that a batch has, unless it is a single input */
  constructor(mostTokens: number) {
    this.#mostTokens = mostTokens;
  }

  get isEmpty(): boolean {
    return this.#requests.size === 0;
  }

  add(request: number, inputs: readonly WaitingInput[], isBackground = false): void {
    if (inputs.length === 0) return;
    this.#requests.set(request, [...inputs]);
    if (isBackground) this.#background.add(request);
  }

  /** Forgets what still waits of a request. */
  drop(request: number): void {
    this.#requests.delete(request);
    this.#background.delete(request);
  }

  /** Takes the next batch; empty where nothing waits. */
  take(): WaitingInput[] {
    const requests = [...this.#requests.keys()];
    const first = requests.find((request) => !this.#background.has(request)) ?? requests[0];
    const lead = first === undefined ? undefined : this.#requests.get(first)?.[0];
    if (first === undefined || lead === undefined) return [];
    let room = Math.max(this.#mostTokens, lead.ids.length);
    const batch: WaitingInput[] = [];
    for (const [request, inputs] of this.#from(first)) {
      const rest: WaitingInput[] = [];
      for (const input of inputs) {
        if (input.ids.length <= room) {
          batch.push(input);
          room -= input.ids.length;
        } else {
          rest.push(input);
        }
      }
      // Set again, a key comes last.
      if (request === first) this.#requests.delete(request);
      if (rest.length > 0) this.#requests.set(request, rest);
      else this.drop(request);
      if (room === 0) break;
    }
    return batch;
  }

  /** What waits, a request's own first. */
  #from(first: number): [number, WaitingInput[]][] {
    const own = this.#requests.get(first);
    // Beside a text that somebody waits for there is nothing that nobody does: it would take longer.
    const isAlike = (request: number) => this.#background.has(first) || !this.#background.has(request);
    const others = [...this.#requests].filter(([request]) => request !== first && isAlike(request));
    return own === undefined ? others : [[first, own], ...others];
  }
}
