import { Heap } from './heap.ts';
import { compareLines, type LineOrder } from './line-order.ts';

/** What can wait here. */
export interface Queued extends LineOrder {
  readonly tenant: string;
}

/**
 * The lines of all running batches that wait for their turn, in the order of `line-order.ts`.
 *
 * The order is over all batches of a tenant together. Between tenants nothing but the base model could be shared, and
 * a tenant with 50,000 lines must not keep another with ten waiting for hours; so whoever has the fewest lines
 * running comes next, and of those the one whose turn is longest past.
 *
 * Each tenant's lines are taken in sweeps, as an elevator goes: new lines before the place that the sweep has come to
 * wait for the next one. Else a stream of new batches for an early adapter would keep all others waiting for ever.
 */
export class LineQueue<T extends Queued> {
  /** Longest past first. */
  readonly #sweeps = new Map<string, Sweep<T>>();
  readonly #running = new Map<string, number>();

  add(line: T): void {
    const sweep = this.#sweeps.get(line.tenant) ?? new Sweep<T>();
    this.#sweeps.set(line.tenant, sweep);
    sweep.add(line);
  }

  /** Lines that wait. */
  get size(): number {
    return [...this.#sweeps.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** The next line, which counts as running until it is released; undefined where none waits. */
  take(): T | undefined {
    let next: string | undefined;
    for (const tenant of this.#sweeps.keys()) {
      if (next === undefined || this.#runs(tenant) < this.#runs(next)) next = tenant;
    }
    const sweep = next === undefined ? undefined : this.#sweeps.get(next);
    if (next === undefined || sweep === undefined) return undefined;
    const line = sweep.take();
    this.#running.set(next, this.#runs(next) + 1);
    this.#sweeps.delete(next);
    if (sweep.size > 0) this.#sweeps.set(next, sweep);
    return line;
  }

  release({ tenant }: T): void {
    const left = this.#runs(tenant) - 1;
    if (left > 0) this.#running.set(tenant, left);
    else this.#running.delete(tenant);
  }

  remove(tenant: string, isGone: (line: T) => boolean): void {
    const sweep = this.#sweeps.get(tenant);
    sweep?.filter((line) => !isGone(line));
    if (sweep?.size === 0) this.#sweeps.delete(tenant);
  }

  #runs(tenant: string): number {
    return this.#running.get(tenant) ?? 0;
  }
}

/** One tenant's lines. */
class Sweep<T extends LineOrder> {
  #ahead = new Heap<T>(compareLines);
  #behind = new Heap<T>(compareLines);
  #last: T | null = null;

  get size(): number {
    return this.#ahead.size + this.#behind.size;
  }

  add(line: T): void {
    const isAhead = this.#last === null || compareLines(line, this.#last) >= 0;
    (isAhead ? this.#ahead : this.#behind).push(line);
  }

  take(): T | undefined {
    if (this.#ahead.size === 0) [this.#ahead, this.#behind] = [this.#behind, this.#ahead];
    const line = this.#ahead.pop();
    this.#last = line ?? null;
    return line;
  }

  filter(keep: (line: T) => boolean): void {
    this.#ahead.filter(keep);
    this.#behind.filter(keep);
  }
}
