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
  readonly tenant: string;
  readonly entries = new Map<string, Held>();
  readonly #order = new Heap<Ranked>((a, b) => a.value - b.value);
  bytes = 0;

  constructor(tenant: string) {
    this.tenant = tenant;
  }

  add(entry: Held): void {
    this.entries.set(entry.id, entry);
    this.bytes += entry.bytes;
    this.rank(entry);
  }

  remove(entry: Held): void {
    this.entries.delete(entry.id);
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

interface Sized {
  readonly holding: Holding;
  /** As it was when it was put into its place. */
  readonly size: number;
}

/** Holdings, the largest first. */
class Largest {
  readonly #sizeOf: (holding: Holding) => number;
  #order = largestFirst();

  constructor(sizeOf: (holding: Holding) => number) {
    this.#sizeOf = sizeOf;
  }

  /** @param all that there are, of which one has grown; those that shrink are put down when they come up */
  grown(holding: Holding, all: ReadonlyMap<string, Holding>): void {
    this.#push(holding);
    if (this.#order.size <= 2 * all.size + 64) return;
    this.#order = largestFirst();
    for (const each of all.values()) this.#push(each);
  }

  first(): Holding | null {
    for (;;) {
      const sized = this.#order.pop();
      if (sized === undefined) return null;
      const { holding, size } = sized;
      if (holding.entries.size === 0) continue;
      this.#push(holding);
      if (this.#sizeOf(holding) === size) return holding;
    }
  }

  #push(holding: Holding): void {
    this.#order.push({ holding, size: this.#sizeOf(holding) });
  }
}

function largestFirst(): Heap<Sized> {
  return new Heap((a, b) => b.size - a.size);
}

/** What all tenants together have in a category. */
class Share {
  readonly tenants = new Map<string, Holding>();
  readonly #byEntries = new Largest(({ entries }) => entries.size);
  readonly #byBytes = new Largest(({ bytes }) => bytes);
  entries = 0;
  bytes = 0;
  age = 0;

  add(entry: Held): Holding {
    const holding = this.tenants.get(entry.tenant) ?? new Holding(entry.tenant);
    this.tenants.set(entry.tenant, holding);
    holding.add(entry);
    this.entries += 1;
    this.bytes += entry.bytes;
    this.#byEntries.grown(holding, this.tenants);
    this.#byBytes.grown(holding, this.tenants);
    return holding;
  }

  remove(entry: Held, holding: Holding): void {
    holding.remove(entry);
    this.entries -= 1;
    this.bytes -= entry.bytes;
    if (holding.entries.size === 0) this.tenants.delete(holding.tenant);
  }

  /** The least valuable entry of the tenant that holds the most, which stays. */
  least(isByBytes: boolean): Held | null {
    return (isByBytes ? this.#byBytes : this.#byEntries).first()?.least() ?? null;
  }
}

/** Where an entry is. */
interface Place {
  readonly entry: Held;
  readonly category: string;
  readonly share: Share;
  readonly holding: Holding;
}

/**
 * Keeps each category within its quota. What leaves is worth the least: what it saves (hits × seconds of computing × priority) by its
 * size, and by its age, as in GreedyDual-Size-Frequency: each that leaves raises what newcomers begin with. It leaves from the tenant that
 * holds the most of the category, so that nobody who fills it drives out others' entries.
 */
export class Quotas {
  readonly #limitsOf: (category: string) => QuotaLimits;
  readonly #categories = new Map<string, Share>();
  readonly #places = new Map<string, Place>();

  /** @param limitsOf asked each time: they may change */
  constructor(limitsOf: (category: string) => QuotaLimits) {
    this.#limitsOf = limitsOf;
  }

  /** Takes an entry in. @returns the ids of those that have to leave, which are forgotten here; it may be among them */
  add(category: string, valued: Valued, hits = 0): readonly string[] {
    this.remove(valued.id);
    const share = this.#share(category);
    const { id, tenant, bytes, computeSeconds } = valued;
    const entry: Held = { id, tenant, bytes, computeSeconds, hits, value: 0 };
    entry.value = this.#valueOf(category, share, entry);
    this.#places.set(id, { entry, category, share, holding: share.add(entry) });
    return this.#evict(category, share);
  }

  /** An entry was used. */
  hit(id: string): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    const { entry, category, share, holding } = place;
    entry.hits += 1;
    entry.value = this.#valueOf(category, share, entry);
    holding.rank(entry);
  }

  remove(id: string): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    this.#places.delete(id);
    place.share.remove(place.entry, place.holding);
  }

  /** What a category holds. @param tenant null: of all together */
  usage(
    category: string,
    tenant: string | null = null,
  ): { readonly entries: number; readonly bytes: number } {
    const share = this.#share(category);
    if (tenant === null) return { entries: share.entries, bytes: share.bytes };
    const holding = share.tenants.get(tenant);
    return { entries: holding?.entries.size ?? 0, bytes: holding?.bytes ?? 0 };
  }

  #evict(category: string, share: Share): readonly string[] {
    const { maxEntries, maxBytes } = this.#limitsOf(category);
    const gone: string[] = [];
    while (share.entries > maxEntries || share.bytes > maxBytes) {
      const least = share.least(share.bytes > maxBytes);
      if (least === null) break;
      share.age = Math.max(share.age, least.value);
      this.remove(least.id);
      gone.push(least.id);
    }
    return gone;
  }

  #valueOf(category: string, { age }: Share, { hits, computeSeconds, bytes }: Held): number {
    const { priority } = this.#limitsOf(category);
    return age + (priority * (hits + 1) * computeSeconds) / Math.max(1, bytes);
  }

  #share(category: string): Share {
    let share = this.#categories.get(category);
    if (share === undefined) {
      share = new Share();
      this.#categories.set(category, share);
    }
    return share;
  }
}
