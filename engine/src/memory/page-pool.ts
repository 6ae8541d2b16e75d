/**
 * Accounting of the unified page pool: which pages are free and what the others hold. The bytes are the
 * addon's; every decision about them is taken here.
 */

/** KV blocks that sequences use, KV blocks kept in case a prompt begins like that again, and adapters. */
const PAGE_KINDS = ['kv', 'prefix', 'adapter'] as const;
export type PageKind = (typeof PAGE_KINDS)[number];

const FREE = 0;
const KIND_CODES = { kv: 1, prefix: 2, adapter: 3 } as const satisfies Record<PageKind, number>;

/** One free list for KV blocks and adapters; taking and giving a page is O(1). */
export class PagePool {
  readonly pageCount: number;
  readonly #free: Uint32Array;
  readonly #held: Uint8Array;
  readonly #counts: Record<PageKind, number> = { kv: 0, prefix: 0, adapter: 0 };
  #freeCount: number;

  constructor(pageCount: number) {
    this.pageCount = pageCount;
    this.#held = new Uint8Array(pageCount);
    // Low pages are handed out first, so a lightly used pool touches little memory.
    this.#free = Uint32Array.from({ length: pageCount }, (_, index) => pageCount - 1 - index);
    this.#freeCount = pageCount;
  }

  get freeCount(): number {
    return this.#freeCount;
  }

  /** Pages that hold this kind now. */
  count(kind: PageKind): number {
    return this.#counts[kind];
  }

  /** Takes `count` pages, or none at all (null) when fewer are free. */
  take(count: number, kind: PageKind): number[] | null {
    if (count > this.#freeCount) return null;
    const pages: number[] = [];
    for (let index = 0; index < count; index++) {
      const page = this.#free[--this.#freeCount]!;
      this.#held[page] = KIND_CODES[kind];
      pages.push(page);
    }
    this.#counts[kind] += count;
    return pages;
  }

  /** Gives pages back. A page that is not held as `kind` means the caller's books are wrong: it throws. */
  give(pages: readonly number[], kind: PageKind): void {
    for (const page of pages) {
      this.#expect(page, kind);
      this.#held[page] = FREE;
      this.#free[this.#freeCount++] = page;
    }
    this.#counts[kind] -= pages.length;
  }

  /** Books a page as another kind; its content stays. */
  turn(page: number, from: PageKind, to: PageKind): void {
    this.#expect(page, from);
    this.#held[page] = KIND_CODES[to];
    this.#counts[from]--;
    this.#counts[to]++;
  }

  /** Throws when a page is lost, free twice, or counted wrongly. For tests and simulations. */
  checkIntegrity(): void {
    const free = new Set(this.#free.subarray(0, this.#freeCount));
    if (free.size !== this.#freeCount) throw new Error('a page is in the free list twice');
    const counts = { kv: 0, prefix: 0, adapter: 0 };
    for (let page = 0; page < this.pageCount; page++) {
      const code = this.#held[page]!;
      if ((code === FREE) !== free.has(page)) throw new Error(`page ${page} is lost or owned while free`);
      if (code !== FREE) counts[PAGE_KINDS[code - 1]!]++;
    }
    if (PAGE_KINDS.some((kind) => counts[kind] !== this.#counts[kind])) {
      throw new Error('pages are counted wrongly');
    }
  }

  #expect(page: number, kind: PageKind): void {
    if (this.#held[page] !== KIND_CODES[kind]) throw new Error(`page ${page} is not held as ${kind}`);
  }
}
