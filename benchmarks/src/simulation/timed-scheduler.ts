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
    const began = performance.now();
    const schedule = super.schedule(now);
    this.#milliseconds += performance.now() - began;
    return schedule;
  }

  override computed(part: ScheduledSequence): void {
    const began = performance.now();
    super.computed(part);
    this.#milliseconds += performance.now() - began;
  }

  override add(sequence: Sequence): void {
    const began = performance.now();
    super.add(sequence);
    this.#milliseconds += performance.now() - began;
  }

  override remove(sequence: Sequence, complete?: boolean): void {
    const began = performance.now();
    super.remove(sequence, complete);
    this.#milliseconds += performance.now() - began;
  }
}
