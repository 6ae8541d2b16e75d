import { LRUCache } from 'lru-cache';

/** What a category's lookups cost and what they saved, since the server started. */
export interface CategoryEconomics {
  readonly exactHits: number;
  readonly similarHits: number;
  /** Requests that waited for an answer that was being made for another. */
  readonly sharedHits: number;
  readonly misses: number;
  readonly bypasses: number;
  /** Candidates near enough that verification turned down. */
  readonly rejected: number;
  /** Answers that somebody said were wrong. */
  readonly reports: number;
  readonly promptTokensSaved: number;
  readonly completionTokensSaved: number;
  readonly computeSecondsSaved: number;
  /** Of all lookups, hits and misses. */
  readonly lookupSeconds: number;
  /** Of keeping answers. */
  readonly storeSeconds: number;
  /** Of the answers that were made, and how many those were. */
  readonly computeSeconds: number;
  readonly computed: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Books = Map<string, Mutable<CategoryEconomics>>;

/** Seconds of computing and tokens that an answer stands for. */
export interface AnswerCost {
  readonly computeSeconds: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** Whose books, and of which category. */
export interface CacheAccount {
  readonly tenant: string;
  readonly category: string;
}

/** Tenants with books of their own; of those that have not asked for the longest they are forgotten, and begin anew. */
const MOST_TENANTS = 10_000;

export const NOTHING: CategoryEconomics = {
  ...{ exactHits: 0, similarHits: 0, sharedHits: 0, misses: 0, bypasses: 0, rejected: 0, reports: 0 },
  ...{ promptTokensSaved: 0, completionTokensSaved: 0, computeSecondsSaved: 0 },
  ...{ lookupSeconds: 0, storeSeconds: 0, computeSeconds: 0, computed: 0 },
};

/** Keeps the books of what the cache costs and saves, by category, of all together and of each tenant. */
export class Economics {
  readonly #all: Books = new Map();
  readonly #tenants = new LRUCache<string, Books>({ max: MOST_TENANTS });

  hit(account: CacheAccount, level: 'exact' | 'similar', cost: AnswerCost, lookupSeconds: number): void {
    this.#book(account, (books) => {
      if (level === 'exact') books.exactHits += 1;
      else books.similarHits += 1;
      books.lookupSeconds += lookupSeconds;
      save(books, cost, 1);
    });
  }

  shared(account: CacheAccount): void {
    this.#book(account, (books) => {
      books.sharedHits += 1;
    });
  }

  /** An answer that several waited for is there. @param others than the one that it was made for */
  sharedSaved(account: CacheAccount, cost: AnswerCost, others: number): void {
    this.#book(account, (books) => save(books, cost, others));
  }

  miss(account: CacheAccount, lookupSeconds: number): void {
    this.#book(account, (books) => {
      books.misses += 1;
      books.lookupSeconds += lookupSeconds;
    });
  }

  bypass(account: CacheAccount, lookupSeconds: number): void {
    this.#book(account, (books) => {
      books.bypasses += 1;
      books.lookupSeconds += lookupSeconds;
    });
  }

  rejected(account: CacheAccount): void {
    this.#book(account, (books) => {
      books.rejected += 1;
    });
  }

  reported(account: CacheAccount): void {
    this.#book(account, (books) => {
      books.reports += 1;
    });
  }

  stored(account: CacheAccount, { computeSeconds }: AnswerCost, storeSeconds: number): void {
    this.#book(account, (books) => {
      books.computed += 1;
      books.computeSeconds += computeSeconds;
      books.storeSeconds += storeSeconds;
    });
  }

  /** @param tenant null: all together */
  of(category: string, tenant: string | null = null): CategoryEconomics {
    // Whoever looks is not whoever asks: it does not keep the books from being forgotten.
    const books = tenant === null ? this.#all : this.#tenants.peek(tenant);
    return books?.get(category) ?? NOTHING;
  }

  #book({ tenant, category }: CacheAccount, change: (books: Mutable<CategoryEconomics>) => void): void {
    let own = this.#tenants.get(tenant);
    if (own === undefined) {
      own = new Map();
      this.#tenants.set(tenant, own);
    }
    change(bookOf(own, category));
    change(bookOf(this.#all, category));
  }
}

function bookOf(books: Books, category: string): Mutable<CategoryEconomics> {
  let book = books.get(category);
  if (book === undefined) {
    book = { ...NOTHING };
    books.set(category, book);
  }
  return book;
}

function save(books: Mutable<CategoryEconomics>, cost: AnswerCost, times: number): void {
  books.promptTokensSaved += times * cost.promptTokens;
  books.completionTokensSaved += times * cost.completionTokens;
  books.computeSecondsSaved += times * cost.computeSeconds;
}

/** The share of requests that nothing was computed for; null: there were none. */
export function hitRate(books: CategoryEconomics): number | null {
  const { exactHits, similarHits, sharedHits, misses, bypasses } = books;
  const hits = exactHits + similarHits + sharedHits;
  const all = hits + misses + bypasses;
  return all === 0 ? null : hits / all;
}

/**
 * The share of requests that has to be answered from the cache for it to cost no more than it saves: what a lookup and keeping an answer
 * take, by what an answer takes to be made. null: nothing was made yet.
 */
export function breakEvenHitRate(books: CategoryEconomics): number | null {
  const { exactHits, similarHits, misses, bypasses, lookupSeconds, storeSeconds } = books;
  const lookups = exactHits + similarHits + misses + bypasses;
  if (lookups === 0 || books.computed === 0 || books.computeSeconds === 0) return null;
  const perLookup = lookupSeconds / lookups;
  const perStore = storeSeconds / books.computed;
  const perAnswer = books.computeSeconds / books.computed;
  // h of the requests save an answer and its keeping; all are looked up.
  return (perLookup + perStore) / (perAnswer + perStore);
}
