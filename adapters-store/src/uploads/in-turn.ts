/** Runs one piece of work after the other. */
export class InTurn {
  #last: Promise<unknown> = Promise.resolve();
  #stop = new AbortController();
  #count = 0;

  get isIdle(): boolean {
    return this.#count === 0;
  }

  async run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const stop = new AbortController();
    this.#stop = stop;
    this.#count++;
    const result = this.#last.then(() => work(stop.signal));
    this.#last = result.catch(() => {});
    try {
      return await result;
    } finally {
      this.#count--;
    }
  }

  /** As `run`, having told what came before to end. */
  async takeOver<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#stop.abort();
    return this.run(work);
  }
}
