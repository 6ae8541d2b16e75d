import type { BatchInput } from './batch-input.ts';

/**
 * Bounds the lines that are in memory, of all batches together. A batch whose turn it is not waits unread, so that
 * any number of batches can be made without the server running out of memory; among those that are read, lines still
 * find their common order.
 */
export class LineRoom {
  readonly #capacity: number;
  #lines = 0;
  /** Inputs are read one after the other: how many lines one has is only known in the end. */
  #reading = false;
  readonly #waiting = new Set<() => void>();

  /** @param capacity no further batch is read from here on; the last to be read may go beyond it */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /**
   * Reads a batch's input when it is its turn. What is returned must be given back by `leave`.
   * @returns null where `isOff` came to hold before
   */
  async enter(read: () => Promise<BatchInput>, isOff: () => boolean): Promise<BatchInput | null> {
    while (!isOff() && (this.#reading || this.#lines >= this.#capacity)) await this.#change();
    if (isOff()) return null;
    this.#reading = true;
    try {
      const input = await read();
      this.#lines += input.lines.length;
      return input;
    } finally {
      this.#reading = false;
      this.wake();
    }
  }

  leave({ lines }: BatchInput): void {
    this.#lines -= lines.length;
    this.wake();
  }

  /** Lets those that wait look again. */
  wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }
}
