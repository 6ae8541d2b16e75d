import { Heap } from '../heap.ts';

/** What an entry is worth is asked when it comes and when it was used. */
export interface Valued {
  readonly id: string;
  readonly tenant: string;
  readonly bytes: number;
  /** What having it saves each time. */
  readonly computeSeconds: number;
}

export interface QuotaLimits {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly priority: number;
}

interface Held extends Valued {
  hits: number;
  value: number;
}

interface Ranked {
  readonly entry: Held;
  /** As it was when it was put into its place. */
  readonly value: number;
}

/** A tenant's entries in a category, the least valuable first. */
class Holding {
  readonly entries = new Map<string, Held>();
  readonly #order = new Heap<Ranked>((a, b) => a.value - b.value);
  bytes = 0;

  add(entry: Held): void {
    this.entries.set(entry.id, entry);
    this.bytes += entry.bytes;
    this.rank(entry);
  }

  remove(id: string): void {
    const entry = this.entries.get(id);
    if (entry === undefined) return;
    this.entries.delete(id);
    this.bytes -= entry.bytes;
  }

  /** Puts an entry where its value is now; its old place is passed over when it comes up. */
  rank(entry: Held): void {
    this.#order.push({ entry, value: entry.value });
    if (this.#order.size > 2 * this.entries.size + 64) {
      this.#order.filter((ranked) => this.#isCurrent(ranked));
    }
  }

  /** The least valuable entry, which stays. */
  least(): Held | null {
    for (;;) {
      const ranked = this.#order.pop();
      if (ranked === undefined) return null;
      if (!this.#isCurrent(ranked)) continue;
      this.#order.push(ranked);
      return ranked.entry;
    }
  }

  #isCurrent({ entry, value }: Ranked): boolean {
    return this.entries.get(entry.id) === entry && entry.value === value;
  }
}

/**
 * Keeps each category within its quota. What leaves is worth the least: what it saves (hits × seconds of computing × priority) by its
 * size, and by its age, as in GreedyDual-Size-Frequency: each that leaves raises what newcomers begin with. It leaves from the tenant that
 * holds the most of the category, so that nobody who fills it drives out others' entries.
 */
export class Quotas {
  readonly #limitsOf: (category: string) => QuotaLimits;
  readonly #categories = new Map<string, { readonly tenants: Map<string, Holding>; age: number }>();
  readonly #categoryOf = new Map<string, string>();

  /** @param limitsOf asked each time: they may change */
  constructor(limitsOf: (category: string) => QuotaLimits) {
    this.#limitsOf = limitsOf;
  }

  /** Takes an entry in. @returns the ids of those that have to leave, which are forgotten here; it may be among them */
  add(category: string, entry: Valued, hits = 0): readonly string[] {
    this.remove(entry.id);
    const held = this.#category(category);
    let holding = held.tenants.get(entry.tenant);
    if (holding === undefined) {
      holding = new Holding();
      held.tenants.set(entry.tenant, holding);
    }
    const { id, tenant, bytes, computeSeconds } = entry;
    const own: Held = { id, tenant, bytes, computeSeconds, hits, value: 0 };
    own.value = this.#valueOf(category, own);
    holding.add(own);
    this.#categoryOf.set(id, category);
    return this.#evict(category);
  }

  /** An entry was used. */
  hit(id: string): void {
    const category = this.#categoryOf.get(id);
    if (category === undefined) return;
    for (const holding of this.#category(category).tenants.values()) {
      const entry = holding.entries.get(id);
      if (entry === undefined) continue;
      entry.hits += 1;
      entry.value = this.#valueOf(category, entry);
      holding.rank(entry);
    }
  }

  remove(id: string): void {
    const category = this.#categoryOf.get(id);
    if (category === undefined) return;
    this.#categoryOf.delete(id);
    const { tenants } = this.#category(category);
    for (const [tenant, holding] of tenants) {
      holding.remove(id);
      if (holding.entries.size === 0) tenants.delete(tenant);
    }
  }

  /** What a category holds. @param tenant null: of all together */
  usage(
    category: string,
    tenant: string | null = null,
  ): { readonly entries: number; readonly bytes: number } {
    const { tenants } = this.#category(category);
    if (tenant !== null) {
      const holding = tenants.get(tenant);
      return { entries: holding?.entries.size ?? 0, bytes: holding?.bytes ?? 0 };
    }
    let [entries, bytes] = [0, 0];
    for (const holding of tenants.values()) {
      entries += holding.entries.size;
      bytes += holding.bytes;
    }
    return { entries, bytes };
  }

  #evict(category: string): readonly string[] {
    const { maxEntries, maxBytes } = this.#limitsOf(category);
    const held = this.#category(category);
    const gone: string[] = [];
    for (let { entries, bytes } = this.usage(category); entries > maxEntries || bytes > maxBytes; ) {
      const least = largest(held.tenants.values(), bytes > maxBytes)?.least() ?? null;
      if (least === null) break;
      held.age = Math.max(held.age, least.value);
      this.remove(least.id);
      gone.push(least.id);
      entries -= 1;
      bytes -= least.bytes;
    }
    return gone;
  }

  #valueOf(category: string, { hits, computeSeconds, bytes }: Held): number {
    const { priority } = this.#limitsOf(category);
    return this.#category(category).age + (priority * (hits + 1) * computeSeconds) / Math.max(1, bytes);
  }

  #category(name: string) {
    let category = this.#categories.get(name);
    if (category === undefined) {
      category = { tenants: new Map<string, Holding>(), age: 0 };
      this.#categories.set(name, category);
    }
    return category;
  }
}

function largest(holdings: Iterable<Holding>, byBytes: boolean): Holding | null {
  let most: Holding | null = null;
  for (const holding of holdings) {
    const isMore =
      most === null || (byBytes ? holding.bytes > most.bytes : holding.entries.size > most.entries.size);
    if (isMore) most = holding;
  }
  return most;
}
