import { Heap } from '../heap.ts';
import { compareLines, type LineOrder } from './line-order.ts';

/** What can wait here. */
export interface Queued extends LineOrder {
  readonly tenant: string;
  /** The id of the key that pays: its lines wait together for what is held. */
  readonly payer: string | null;
}

/**
 * The lines of all running batches that wait for their turn, in the order of `line-order.ts`.
 *
 * The order is over all batches of a key together. Between tenants nothing but the base model could be shared, and
 * a tenant with 50,000 lines must not keep another with ten waiting for hours; so whoever has the fewest lines
 * running comes next, and of those the one whose turn is longest past. The keys of a tenant take turns.
 *
 * Each key's lines are taken in sweeps, as an elevator goes: new lines before the place that the sweep has come to
 * wait for the next one. Else a stream of new batches for an early adapter would keep all others waiting for ever.
 *
 * A line for which there is no room in a budget now comes back, and its key's lines wait until they are told to try again; from then on
 * one at a time, for each would find the same: however many they are, they take nobody's place and nobody's time meanwhile.
 */
export class LineQueue<T extends Queued> {
  /** Longest past first. */
  readonly #tenants = new Map<string, TenantLines<T>>();
  readonly #running = new Map<string, number>();

  add(line: T): void {
    const { tenant } = line;
    const lines = this.#tenants.get(tenant) ?? new TenantLines<T>();
    this.#tenants.set(tenant, lines);
    lines.of(line).sweep.add(line);
  }

  /** Lines that wait. */
  get size(): number {
    return [...this.#tenants.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** The next line, which counts as running until it is released; undefined where none may run now. */
  take(): T | undefined {
    let next: string | undefined;
    for (const [tenant, { isReady }] of this.#tenants) {
      if (isReady && (next === undefined || this.#runs(tenant) < this.#runs(next))) next = tenant;
    }
    const lines = next === undefined ? undefined : this.#tenants.get(next);
    if (next === undefined || lines === undefined) return undefined;
    const line = lines.take();
    this.#running.set(next, this.#runs(next) + 1);
    this.#tenants.delete(next);
    this.#tenants.set(next, lines);
    return line;
  }

  /** What a line that was taken may use is held for it: others of its key may be tried. */
  admitted(line: T): void {
    this.#tenants.get(line.tenant)?.of(line).trying.delete(line);
  }

  /** Takes back a line for which there is no room now; its key's lines wait until `retry`. It is released as any other. */
  hold(line: T): void {
    this.add(line);
    const lane = this.#tenants.get(line.tenant)?.of(line);
    if (lane === undefined) return;
    lane.isHeld = true;
    lane.isCareful = true;
  }

  /** Lets lines that wait for room be tried again: of a key, or of all of a tenant's. */
  retry(tenant: string, payer?: string | null): void {
    this.#tenants.get(tenant)?.retry(payer);
  }

  release(line: T): void {
    const { tenant } = line;
    this.admitted(line);
    const left = this.#runs(tenant) - 1;
    if (left > 0) this.#running.set(tenant, left);
    else this.#running.delete(tenant);
    this.#forgetEmpty(tenant);
  }

  remove(tenant: string, isGone: (line: T) => boolean): void {
    this.#tenants.get(tenant)?.filter((line) => !isGone(line));
    this.#forgetEmpty(tenant);
  }

  #forgetEmpty(tenant: string): void {
    if (this.#tenants.get(tenant)?.isEmpty) this.#tenants.delete(tenant);
  }

  #runs(tenant: string): number {
    return this.#running.get(tenant) ?? 0;
  }
}

/** A key's lines. */
class Lane<T extends LineOrder> {
  readonly sweep = new Sweep<T>();
  /** Those that were taken and of which is not known yet whether there is room for them. */
  readonly trying = new Set<T>();
  /** Nothing of it is taken. */
  isHeld = false;
  /** One at a time, until none is left. */
  isCareful = false;

  get isReady(): boolean {
    return this.sweep.size > 0 && !this.isHeld && !(this.isCareful && this.trying.size > 0);
  }

  get isEmpty(): boolean {
    return this.sweep.size === 0 && this.trying.size === 0;
  }
}

/** One tenant's lines. */
class TenantLines<T extends Queued> {
  /** By payer, longest past first. */
  readonly #lanes = new Map<string | null, Lane<T>>();

  get size(): number {
    return [...this.#lanes.values()].reduce((sum, { sweep }) => sum + sweep.size, 0);
  }

  get isReady(): boolean {
    for (const lane of this.#lanes.values()) if (lane.isReady) return true;
    return false;
  }

  get isEmpty(): boolean {
    for (const [payer, lane] of this.#lanes) if (lane.isEmpty) this.#lanes.delete(payer);
    return this.#lanes.size === 0;
  }

  of({ payer }: T): Lane<T> {
    const lane = this.#lanes.get(payer) ?? new Lane<T>();
    this.#lanes.set(payer, lane);
    return lane;
  }

  take(): T | undefined {
    for (const [payer, lane] of this.#lanes) {
      if (!lane.isReady) continue;
      const line = lane.sweep.take();
      if (line !== undefined) lane.trying.add(line);
      this.#lanes.delete(payer);
      this.#lanes.set(payer, lane);
      return line;
    }
    return undefined;
  }

  retry(payer?: string | null): void {
    for (const [each, lane] of this.#lanes) if (payer === undefined || each === payer) lane.isHeld = false;
  }

  filter(keep: (line: T) => boolean): void {
    for (const { sweep } of this.#lanes.values()) sweep.filter(keep);
  }
}

/** Lines in their order, taken as an elevator goes. */
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
