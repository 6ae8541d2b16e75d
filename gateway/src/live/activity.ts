import { type Percentiles, RecentPercentiles } from './recent-percentiles.ts';

/** What the answer cache did with a request. */
export type CacheResult = 'hit' | 'miss' | 'bypass';

/** Tokens that a sequence had at once. */
export interface Generated {
  readonly tokens: number;
  readonly isFirst: boolean;
  /** Since the token before, or since the request came; null: that says nothing. */
  readonly milliseconds: number | null;
}

/** How many of each. */
interface Counts {
  requests: number;
  errors: number;
  prompt_tokens: number;
  generation_tokens: number;
  cache_lookups: number;
  cache_hits: number;
}

/** What happened in a second, and how long things took of late. */
export interface Figures {
  /** Per second. */
  readonly rates: Readonly<Counts>;
  readonly first_token_ms: Percentiles | null;
  readonly inter_token_ms: Percentiles | null;
  readonly queue_ms: Percentiles | null;
}

/** No error of anybody's. */
const CLIENT_LEFT = 499;

const NONE: Readonly<Counts> = {
  requests: 0,
  errors: 0,
  prompt_tokens: 0,
  generation_tokens: 0,
  cache_lookups: 0,
  cache_hits: 0,
};

/** What goes on, of everybody or of a tenant. */
export class Activity {
  /** Since the last turn. */
  readonly #counts: Counts = { ...NONE };
  readonly #firstToken = new RecentPercentiles();
  readonly #interToken = new RecentPercentiles();
  readonly #queue = new RecentPercentiles();

  /** Whether nothing has been counted since the last turn. */
  get isQuiet(): boolean {
    return Object.values(this.#counts).every((count) => count === 0);
  }

  /** @param cache null: it was not asked */
  answered(status: number, cache: CacheResult | null): void {
    this.#counts.requests++;
    if (status >= 400 && status !== CLIENT_LEFT) this.#counts.errors++;
    if (cache === 'hit' || cache === 'miss') this.#counts.cache_lookups++;
    if (cache === 'hit') this.#counts.cache_hits++;
  }

  /** An answer broke off. */
  failed(): void {
    this.#counts.errors++;
  }

  promptRead(tokens: number): void {
    this.#counts.prompt_tokens += tokens;
  }

  generated({ tokens, isFirst, milliseconds }: Generated): void {
    this.#counts.generation_tokens += tokens;
    if (milliseconds === null) return;
    if (isFirst) this.#firstToken.observe(milliseconds);
    else this.#interToken.observe(milliseconds / tokens, tokens);
  }

  queued(milliseconds: number): void {
    this.#queue.observe(milliseconds);
  }

  /** Ends a second, and begins the next. @param seconds how long it was */
  turn(seconds: number): Figures {
    const rate = (count: number) => Number((count / seconds).toPrecision(4));
    const rates = {
      requests: rate(this.#counts.requests),
      errors: rate(this.#counts.errors),
      prompt_tokens: rate(this.#counts.prompt_tokens),
      generation_tokens: rate(this.#counts.generation_tokens),
      cache_lookups: rate(this.#counts.cache_lookups),
      cache_hits: rate(this.#counts.cache_hits),
    };
    const figures = {
      rates,
      first_token_ms: this.#firstToken.percentiles,
      inter_token_ms: this.#interToken.percentiles,
      queue_ms: this.#queue.percentiles,
    };
    Object.assign(this.#counts, NONE);
    for (const times of [this.#firstToken, this.#interToken, this.#queue]) times.turn();
    return figures;
  }
}
