/** What a category's lookups cost and what they saved, since the server started. */
export interface CategoryEconomics {
  readonly exactHits: number;
  readonly similarHits: number;
  readonly misses: number;
  readonly bypasses: number;
  /** Candidates near enough that verification turned down. */
  readonly rejected: number;
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

/** Seconds of computing and tokens that an answer stands for. */
export interface AnswerCost {
  readonly computeSeconds: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** Keeps the books of what the cache costs and saves, by category. */
export class Economics {
  readonly #categories = new Map<string, Mutable<CategoryEconomics>>();

  hit(category: string, level: 'exact' | 'similar', cost: AnswerCost, lookupSeconds: number): void {
    const books = this.#of(category);
    if (level === 'exact') books.exactHits += 1;
    else books.similarHits += 1;
    books.promptTokensSaved += cost.promptTokens;
    books.completionTokensSaved += cost.completionTokens;
    books.computeSecondsSaved += cost.computeSeconds;
    books.lookupSeconds += lookupSeconds;
  }

  miss(category: string, lookupSeconds: number): void {
    const books = this.#of(category);
    books.misses += 1;
    books.lookupSeconds += lookupSeconds;
  }

  bypass(category: string, lookupSeconds: number): void {
    const books = this.#of(category);
    books.bypasses += 1;
    books.lookupSeconds += lookupSeconds;
  }

  rejected(category: string): void {
    this.#of(category).rejected += 1;
  }

  stored(category: string, { computeSeconds }: AnswerCost, storeSeconds: number): void {
    const books = this.#of(category);
    books.computed += 1;
    books.computeSeconds += computeSeconds;
    books.storeSeconds += storeSeconds;
  }

  categories(): IterableIterator<[string, CategoryEconomics]> {
    return this.#categories.entries();
  }

  #of(category: string): Mutable<CategoryEconomics> {
    let books = this.#categories.get(category);
    if (books === undefined) {
      books = {
        ...{ exactHits: 0, similarHits: 0, misses: 0, bypasses: 0, rejected: 0 },
        ...{ promptTokensSaved: 0, completionTokensSaved: 0, computeSecondsSaved: 0 },
        ...{ lookupSeconds: 0, storeSeconds: 0, computeSeconds: 0, computed: 0 },
      };
      this.#categories.set(category, books);
    }
    return books;
  }
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
