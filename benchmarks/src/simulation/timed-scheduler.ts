import { type Schedule, type ScheduledSequence, Scheduler, type Sequence } from '@polylora/engine/scheduling';

/** A scheduler that knows how long it took itself, on the real clock. */
export class TimedScheduler extends Scheduler {
  #milliseconds = 0;

  /** Its time since this was last asked. */
  takeMilliseconds(): number {
    const taken = this.#milliseconds;
    this.#milliseconds = 0;
    return taken;
  }

  override schedule(now: number): Schedule {
    return this.#timed(() => super.schedule(now));
  }

  override computed(part: ScheduledSequence): void {
    this.#timed(() => super.computed(part));
  }

  override add(sequence: Sequence): void {
    this.#timed(() => super.add(sequence));
  }

  override remove(sequence: Sequence, complete?: boolean): void {
    this.#timed(() => super.remove(sequence, complete));
  }

  #timed<Result>(work: () => Result): Result {
    const began = performance.now();
    const result = work();
    this.#milliseconds += performance.now() - began;
    return result;
  }
}
