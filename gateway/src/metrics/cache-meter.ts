import type { CacheHost } from '../cache/cache-host.ts';
import type { CacheMetrics, LookupResult, RemovalReason } from '../cache/cache-metrics.ts';
import { breakEvenHitRate } from '../cache/economics.ts';
import type { KeysOf } from './metrics.ts';

type Labels = Record<string, string>;

/** Where the measurements go. */
export interface CacheMeterOptions {
  readonly count: (key: KeysOf<'counter'>, value: number, labels: Labels) => void;
  readonly observe: (key: KeysOf<'histogram'>, value: number, labels: Labels) => void;
  readonly set: (key: KeysOf<'gauge'>, value: number, labels?: Labels) => void;
  readonly follow: (key: KeysOf<'counter'>, total: number, labels: Labels) => void;
}

/** Gauges that say what the cache holds, and how it is. */
export const CACHE_GAUGES = [
  'cacheBreakEven',
  'cacheEntries',
  'cacheBytes',
  'cacheIndexEntries',
  'cacheIndexBytes',
  'cacheAnswers',
  'cacheAnswerBytes',
  'cacheThreshold',
  'cacheStrictness',
  'cacheTtl',
  'cacheRelaxation',
  'cacheWait',
  'cacheFalseHits',
  'cacheChecks',
  'cacheStoreUp',
  'cacheFlights',
] as const satisfies KeysOf<'gauge'>[];

/** No category is called so. */
const NO_CATEGORY = '-';

/** Measures the answer cache: what it tells as it happens, and how it is when metrics are asked for. */
export class CacheMeter implements CacheMetrics {
  readonly #options: CacheMeterOptions;

  constructor(options: CacheMeterOptions) {
    this.#options = options;
  }

  looked(result: LookupResult, category: string | null, seconds: number | null): void {
    const { count, observe } = this.#options;
    const labels = { result, category: category ?? NO_CATEGORY };
    count('cacheLookups', 1, labels);
    if (seconds !== null) observe('cacheLookupTime', seconds, labels);
  }

  embedded(isMade: boolean, seconds: number): void {
    this.#options.observe('cacheEmbeddingTime', seconds, { outcome: isMade ? 'made' : 'late' });
  }

  verified(by: 'verifier' | 'model', isSame: boolean, seconds: number): void {
    this.#options.observe('cacheVerificationTime', seconds, { by, outcome: isSame ? 'same' : 'different' });
  }

  removed(reason: RemovalReason, entries: number): void {
    if (entries > 0) this.#options.count('cacheEvictions', entries, { reason });
  }

  reported(category: string): void {
    this.#options.count('cacheReports', 1, { category });
  }

  /** How the cache is now. */
  read(host: CacheHost): void {
    const { set } = this.#options;
    const { cache, load } = host;
    const { answers, vectors } = cache;
    set('cacheAnswers', answers.entries);
    set('cacheAnswerBytes', answers.bytes);
    if (vectors !== null) {
      set('cacheIndexEntries', vectors.entries);
      set('cacheIndexBytes', vectors.bytes);
    }
    set('cacheRelaxation', load.relaxation);
    set('cacheWait', load.waitMilliseconds / 1000);
    set('cacheStoreUp', host.isStoreUp ? 1 : 0);
    set('cacheFlights', host.flights);
    for (const name of host.categories.names) this.#readCategory(host, name);
  }

  #readCategory({ cache, categories, quality }: CacheHost, category: string): void {
    const { set, follow } = this.#options;
    const { entries, bytes } = cache.usage(category);
    set('cacheEntries', entries, { category });
    set('cacheBytes', bytes, { category });
    const { similarityThreshold, strictness, ttlSeconds } = categories.effective(categories.get(category));
    set('cacheThreshold', similarityThreshold, { category });
    set('cacheStrictness', strictness, { category });
    set('cacheTtl', ttlSeconds, { category });
    const books = cache.economics.of(category);
    follow('cacheSavedTokens', books.promptTokensSaved, { category, kind: 'prompt' });
    follow('cacheSavedTokens', books.completionTokensSaved, { category, kind: 'completion' });
    follow('cacheSavedSeconds', books.computeSecondsSaved, { category });
    follow('cacheRejections', books.rejected, { category });
    const breakEven = breakEvenHitRate(books);
    if (breakEven !== null) set('cacheBreakEven', breakEven, { category });
    const found = quality?.estimate(category) ?? null;
    set('cacheChecks', found?.checked ?? 0, { category });
    if (found === null || found.checked === 0) return;
    set('cacheFalseHits', found.rate, { category, bound: 'estimate' });
    set('cacheFalseHits', found.low, { category, bound: 'low' });
    set('cacheFalseHits', found.high, { category, bound: 'high' });
  }
}
