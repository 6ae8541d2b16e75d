/** Hands values from one producer to one consumer in order; the consumer waits when there are none. */
export class EventQueue<T> {
  readonly #values: T[] = [];
  #wake: (() => void) | null = null;
  #ended = false;

  push(value: T): void {
    this.#values.push(value);
    this.#wake?.();
  }

  /** What was pushed is still delivered; nothing comes after it. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      while (this.#values.length > 0) yield this.#values.shift()!;
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
  }
}
