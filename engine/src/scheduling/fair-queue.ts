import { RankedQueue } from '../ranked-queue.ts';
import { PRIORITIES, type ServiceTotals, type TenantShare } from '../types.ts';
import type { Sequence } from './sequence.ts';

/**
 * When none of a tenant's sequences of a priority was read for so many seconds, its oldest moves up to the priority above,
 * so that none waits for ever. Its own age is not enough: whoever has a backlog older than that would pass all others.
 */
const AGE_SECONDS = [Number.POSITIVE_INFINITY, 30, 300] as const;
/** How often sequences are looked through for those that have aged. */
const AGE_EVERY_SECONDS = 1;
/** Tenants without work of which it is remembered what service they received, many more than have metrics of their own. */
const MOST_PAST = 1000;

/** A tenant with sequences. */
interface Tenant {
  readonly name: string;
  weight: number;
  /** Service received ÷ weight. */
  counter: number;
  /** Of that, what is not counted yet. */
  charges: number;
  /** Service received. */
  service: number;
  /** Sequences that have not ended. */
  live: number;
  readonly lines: readonly Line[];
  rank: number;
  place: number;
}

/** A tenant's sequences of one priority, in order of arrival. */
interface Line {
  readonly tenant: Tenant;
  readonly sequences: Sequence[];
  /** When one of them was last read. */
  servedAt: number;
  rank: number;
  place: number;
}

/**
 * Sequences whose prompts are not read yet, in the order in which they should be: by priority, then the tenant that had
 * the least service for its weight (virtual token counters, Sheng et al. 2024), then by arrival. A tenant that returns
 * starts level with the least served of the others, so that nobody saves up. Pure.
 */
export class FairQueue {
  readonly #tenants = new Map<string, Tenant>();
  /** Tenants with live sequences, the least served first. */
  readonly #active = new RankedQueue<Tenant>();
  /** Lines with sequences, for each priority, the least served tenant's first. */
  readonly #classes = PRIORITIES.map(() => new RankedQueue<Line>());
  /** Tenants that received service since the order was last asked for. */
  readonly #charged: Tenant[] = [];
  /** Service that tenants received which are forgotten since, in the order in which they were. */
  readonly #past = new Map<string, number>();
  /** Service that all have received. */
  #service = 0;
  #size = 0;
  /** The least counter among the active when there last were any. */
  #floor = 0;
  /** Sum of the weights of tenants with live sequences. */
  #activeWeight = 0;
  #agedAt = Number.NEGATIVE_INFINITY;
  /** The last time that it was told. */
  #now = Number.NEGATIVE_INFINITY;

  /** Sequences in line. */
  get size(): number {
    return this.#size;
  }

  /** Tenants with sequences that have not ended. */
  get shares(): Omit<TenantShare, 'running'>[] {
    this.#settleCharges();
    return [...this.#tenants.values()]
      .filter(({ live }) => live > 0)
      .map(({ name, weight, counter, live }) => ({ tenant: name, weight, counter, live }));
  }

  /** What tenants were charged. */
  get service(): ServiceTotals {
    const byTenant = new Map(this.#past);
    for (const { name, service } of this.#tenants.values()) if (service > 0) byTenant.set(name, service);
    return { total: this.#service, byTenant };
  }

  /** The part of the machine that is a tenant's among those with work: above 0, at most 1. */
  share(tenant: string): number {
    return (this.#tenants.get(tenant)?.weight ?? 0) / this.#activeWeight;
  }

  has(sequence: Sequence): boolean {
    return sequence.line >= 0;
  }

  counter(tenant: string): number {
    this.#settleCharges();
    return this.#tenants.get(tenant)?.counter ?? this.#floor;
  }

  /** Whose turn it is. */
  get first(): Sequence | undefined {
    this.#settleCharges();
    for (const lines of this.#classes) if (lines.first !== undefined) return lines.first.sequences[0];
    return undefined;
  }

  /** A new sequence comes. */
  arrive(sequence: Sequence): void {
    const tenant = this.#tenants.get(sequence.tenant) ?? this.#newTenant(sequence);
    if (tenant.live > 0) this.#activeWeight -= tenant.weight;
    tenant.weight = sequence.weight;
    this.#activeWeight += tenant.weight;
    if (tenant.live === 0) {
      this.#settleCharges();
      this.#setCounter(tenant, Math.max(tenant.counter, this.#active.first?.counter ?? this.#floor));
      this.#active.add(tenant);
    }
    tenant.live++;
    this.#insert(sequence, tenant, PRIORITIES.indexOf(sequence.priority));
  }

  /** Its prompt is read: it is in line no more, but has not ended. */
  leave(sequence: Sequence): void {
    this.#lineOf(sequence).servedAt = this.#now;
    this.#takeOut(sequence);
  }

  /** It was set back and has to be read again: in line by its arrival. */
  comeBack(sequence: Sequence): void {
    const tenant = this.#tenants.get(sequence.tenant)!;
    this.#insert(sequence, tenant, PRIORITIES.indexOf(sequence.priority));
  }

  /** It has ended, in line or not. */
  end(sequence: Sequence): void {
    if (this.has(sequence)) this.#takeOut(sequence);
    const tenant = this.#tenants.get(sequence.tenant)!;
    tenant.live--;
    if (tenant.live > 0) return;
    this.#settleCharges();
    this.#floor = Math.max(this.#floor, this.#active.first!.counter);
    this.#active.delete(tenant);
    // Sums of fractions drift; an empty one is 0.
    this.#activeWeight = this.#active.size === 0 ? 0 : this.#activeWeight - tenant.weight;
    this.#forgetIdle();
  }

  /** A tenant received service. */
  charge(sequence: Sequence, service: number): void {
    const tenant = this.#tenants.get(sequence.tenant)!;
    if (tenant.charges === 0) this.#charged.push(tenant);
    tenant.charges += service / tenant.weight;
    tenant.service += service;
    this.#service += service;
  }

  /**
   * The sequences in order. After each, `next` is told the service that it will get now, which counts for the order of
   * the rest. The queue must not be changed meanwhile.
   */
  *inOrder(now: number): Generator<Sequence, void, number> {
    this.#now = now;
    this.#settleCharges();
    this.#age(now);
    for (const lines of this.#classes) {
      const passed: { line: Line; rank: number }[] = [];
      const waiting = new RankedQueue<Cursor>();
      try {
        for (;;) {
          const [line, cursor] = [lines.first, waiting.first];
          if (line === undefined && cursor === undefined) break;
          let at: Cursor;
          if (cursor === undefined || (line !== undefined && line.rank < cursor.rank)) {
            lines.delete(line!);
            passed.push({ line: line!, rank: line!.rank });
            at = { line: line!, index: 0, rank: line!.rank, place: -1 };
          } else {
            waiting.delete(cursor);
            at = cursor;
          }
          const service = yield at.line.sequences[at.index]!;
          at.index++;
          at.rank += service / at.line.tenant.weight;
          if (at.index < at.line.sequences.length) waiting.add(at);
        }
      } finally {
        for (const { line, rank } of passed) {
          line.rank = rank;
          lines.add(line);
        }
      }
    }
  }

  #newTenant({ tenant: name, weight }: Sequence): Tenant {
    const lines: Line[] = [];
    const tenant: Tenant = {
      name,
      weight,
      counter: this.#floor,
      charges: 0,
      service: this.#past.get(name) ?? 0,
      live: 0,
      lines,
      rank: 0,
      place: -1,
    };
    for (const _ of PRIORITIES)
      lines.push({ tenant, sequences: [], servedAt: this.#now, rank: 0, place: -1 });
    this.#tenants.set(name, tenant);
    this.#past.delete(name);
    return tenant;
  }

  #takeOut(sequence: Sequence): void {
    const line = this.#lineOf(sequence);
    line.sequences.splice(line.sequences.indexOf(sequence), 1);
    sequence.line = -1;
    this.#size--;
    if (line.sequences.length === 0) this.#classes[line.tenant.lines.indexOf(line)]!.delete(line);
  }

  #lineOf(sequence: Sequence): Line {
    return this.#tenants.get(sequence.tenant)!.lines[sequence.line]!;
  }

  #insert(sequence: Sequence, tenant: Tenant, priority: number): void {
    const line = tenant.lines[priority]!;
    let index = line.sequences.length;
    while (index > 0 && line.sequences[index - 1]!.handle > sequence.handle) index--;
    line.sequences.splice(index, 0, sequence);
    sequence.line = priority;
    this.#size++;
    if (line.place < 0) {
      line.rank = tenant.counter;
      this.#classes[priority]!.add(line);
    }
  }

  #setCounter(tenant: Tenant, counter: number): void {
    tenant.counter = counter;
    this.#active.move(tenant, counter);
    for (let priority = 0; priority < PRIORITIES.length; priority++) {
      this.#classes[priority]!.move(tenant.lines[priority]!, counter);
    }
  }

  #settleCharges(): void {
    for (const tenant of this.#charged) {
      this.#setCounter(tenant, tenant.counter + tenant.charges);
      tenant.charges = 0;
    }
    this.#charged.length = 0;
  }

  /** Moves up what has waited too long in its priority. */
  #age(now: number): void {
    if (now < this.#agedAt + AGE_EVERY_SECONDS) return;
    this.#agedAt = now;
    for (let priority = 1; priority < PRIORITIES.length; priority++) {
      for (const tenant of this.#tenants.values()) {
        const line = tenant.lines[priority]!;
        const [oldest] = line.sequences;
        if (oldest === undefined || now - Math.max(oldest.arrived, line.servedAt) < AGE_SECONDS[priority]!) {
          continue;
        }
        this.leave(oldest);
        this.#insert(oldest, tenant, priority - 1);
      }
    }
  }

  /** A tenant without work that would start at the floor anyway needs no memory. */
  #forgetIdle(): void {
    if (this.#tenants.size < 2 * this.#active.size + 64) return;
    for (const [name, { live, counter, service }] of this.#tenants) {
      if (live > 0 || counter > this.#floor) continue;
      this.#tenants.delete(name);
      if (service > 0) this.#past.set(name, service);
    }
    for (const name of this.#past.keys()) {
      if (this.#past.size <= MOST_PAST) break;
      this.#past.delete(name);
    }
  }
}

/** Where the walk through a line is. */
interface Cursor {
  readonly line: Line;
  index: number;
  rank: number;
  place: number;
}
