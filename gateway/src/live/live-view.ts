import type { Snapshot } from './snapshot.ts';

/** Snapshots that a reader may leave lying before it is given up: half a minute's. */
const MOST_MISSED = 30;

/**
 * What one reader has yet to be sent: the newest snapshot and no other, however slow it is. One that takes none for half a minute, as
 * its connection is full, is let go of.
 */
export class LiveView {
  readonly #onEnd: (view: LiveView) => void;
  #newest: Snapshot | null = null;
  #missed = 0;
  #hasEnded = false;
  #wake = () => {};

  /** @param onEnd told once, whoever ends it */
  constructor(onEnd: (view: LiveView) => void) {
    this.#onEnd = onEnd;
  }

  /** Gives it another snapshot. @returns false where it takes none any more */
  push(snapshot: Snapshot): boolean {
    this.#missed = this.#newest === null ? 0 : this.#missed + 1;
    if (this.#missed > MOST_MISSED) return false;
    this.#newest = snapshot;
    this.#wake();
    return true;
  }

  /** The next snapshot, or null at the end. */
  async next(): Promise<Snapshot | null> {
    if (this.#newest === null && !this.#hasEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const newest = this.#hasEnded ? null : this.#newest;
    this.#newest = null;
    return newest;
  }

  /** Whether it has left snapshots lying. */
  get isBehind(): boolean {
    return this.#missed > 0;
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#wake();
    this.#onEnd(this);
  }
}
