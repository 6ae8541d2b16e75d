/** Runs tasks one after the other, in the order in which they came. */
export class Lane {
  #last: Promise<unknown> = Promise.resolve();
  #length = 0;

  /** Tasks that have not ended. */
  get length(): number {
    return this.#length;
  }

  run<T>(task: () => Promise<T>): Promise<T> {
    this.#length++;
    const result = this.#last.then(task).finally(() => {
      this.#length--;
    });
    // The next one does not care how this one ended.
    this.#last = result.catch(() => {});
    return result;
  }
}
