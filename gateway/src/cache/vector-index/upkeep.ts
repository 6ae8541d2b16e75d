import type { Partition } from './partition.ts';

/** Longest time without a pause, but for what a single step takes. */
const SLICE_MILLISECONDS = 1;

/** Has something called later, between other work. */
export type Schedule = (work: () => void) => void;

/** Does what partitions have to do, in short slices. */
export class Upkeep {
  readonly #schedule: Schedule;
  readonly #waiting = new Set<Partition>();
  #isScheduled = false;

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
  }

  /** Whether there is nothing left to do. */
  get isDone(): boolean {
    return this.#waiting.size === 0;
  }

  /** Looks after a partition that was changed. */
  wake(partition: Partition): void {
    if (!partition.hasWork) return;
    this.#waiting.add(partition);
    this.#continue();
  }

  forget(partition: Partition): void {
    this.#waiting.delete(partition);
  }

  #continue(): void {
    if (this.#isScheduled || this.#waiting.size === 0) return;
    this.#isScheduled = true;
    this.#schedule(() => {
      this.#isScheduled = false;
      this.#slice();
      this.#continue();
    });
  }

  #slice(): void {
    const end = performance.now() + SLICE_MILLISECONDS;
    for (const partition of this.#waiting) {
      do partition.step();
      while (partition.hasWork && performance.now() < end);
      if (partition.hasWork) return;
      this.#waiting.delete(partition);
      if (performance.now() >= end) return;
    }
  }
}
