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

  add(lines: readonly T[]): void {
    for (const [tenant, ofTenant] of byTenant(lines)) {
      const sweep = this.#sweeps.get(tenant) ?? new Sweep<T>();
      this.#sweeps.set(tenant, sweep);
      sweep.add(ofTenant);
    }
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
    if (!sweep.isEmpty) this.#sweeps.set(next, sweep);
    return line;
  }

  release({ tenant }: T): void {
    const left = this.#runs(tenant) - 1;
    if (left > 0) this.#running.set(tenant, left);
    else this.#running.delete(tenant);
  }

  remove(tenant: string, isGone: (line: T) => boolean): void {
    const sweep = this.#sweeps.get(tenant);
    sweep?.remove(isGone);
    if (sweep?.isEmpty) this.#sweeps.delete(tenant);
  }

  #runs(tenant: string): number {
    return this.#running.get(tenant) ?? 0;
  }
}

/** One tenant's lines. Both lists are kept last first, so that taking one is cheap. */
class Sweep<T extends LineOrder> {
  #ahead: T[] = [];
  #behind: T[] = [];
  #last: T | null = null;

  get isEmpty(): boolean {
    return this.#ahead.length === 0 && this.#behind.length === 0;
  }

  add(lines: readonly T[]): void {
    const last = this.#last;
    const isAhead = (line: T) => last === null || compareLines(line, last) >= 0;
    this.#ahead = merged(this.#ahead, lines.filter(isAhead));
    this.#behind = merged(
      this.#behind,
      lines.filter((line) => !isAhead(line)),
    );
  }

  take(): T | undefined {
    if (this.#ahead.length === 0) {
      this.#ahead = this.#behind;
      this.#behind = [];
    }
    const line = this.#ahead.pop();
    this.#last = line ?? null;
    return line;
  }

  remove(isGone: (line: T) => boolean): void {
    this.#ahead = this.#ahead.filter((line) => !isGone(line));
    this.#behind = this.#behind.filter((line) => !isGone(line));
  }
}

function merged<T extends LineOrder>(sorted: T[], lines: readonly T[]): T[] {
  // Node's sort finds what is in order already and merges, so this costs little more than sorting the new ones.
  return lines.length === 0 ? sorted : [...sorted, ...lines].sort((a, b) => compareLines(b, a));
}

function byTenant<T extends Queued>(lines: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const line of lines) {
    const group = groups.get(line.tenant);
    if (group === undefined) groups.set(line.tenant, [line]);
    else group.push(line);
  }
  return groups;
}
