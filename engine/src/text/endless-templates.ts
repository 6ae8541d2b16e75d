import { hash } from 'node:crypto';

/** Templates that are remembered, and for how long: a machine that stood still for seconds condemns none for good. */
const MOST = 64;
const REMEMBERED_MS = 600_000;

interface Remembered {
  /** Of the smallest chat with which it did not end, in characters. */
  size: number;
  until: number;
}

/**
 * Which templates did not end in the time that they have, with chats of which size. They are not tried again with as much: each time
 * would hold up everyone for the whole of the time limit. With less they are, so that no one's huge chat stops the small ones of others.
 */
export class EndlessTemplates {
  /** By digest, in the order in which they were found. */
  readonly #known = new Map<string, Remembered>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  static digestOf(source: string): string {
    return hash('sha256', source, 'base64');
  }

  /** @param size of the chat; asked for only where the template is known */
  has(digest: string, size: () => number): boolean {
    const known = this.#known.get(digest);
    return known !== undefined && this.#now() < known.until && size() >= known.size;
  }

  add(digest: string, size: number): void {
    const known = this.#known.get(digest);
    const smallest = known !== undefined && this.#now() < known.until ? Math.min(known.size, size) : size;
    this.#known.delete(digest);
    this.#known.set(digest, { size: smallest, until: this.#now() + REMEMBERED_MS });
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MOST) return;
      this.#known.delete(oldest);
    }
  }
}
