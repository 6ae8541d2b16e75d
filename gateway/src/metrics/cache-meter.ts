import type { CacheHost } from '../cache/cache-host.ts';
import type { CacheMetrics, LookupResult, RemovalReason } from '../cache/cache-metrics.ts';
import { breakEvenHitRate } from '../cache/economics.ts';
import type { Instruments, KeysOf } from './instruments.ts';

/** Gauges that say what the cache holds, and how it is. */
const CACHE_GAUGES = [
  'cacheBreakEven',
  'cacheEntries',
  'cacheBytes',
  'cacheMostEntries',
  'cacheMostBytes',
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
  'cacheFalseHitTarget',
  'cacheChecks',
  'cacheStoreUp',
  'cacheFlights',
] as const satisfies KeysOf<'gauge'>[];

/** No category is called so. */
const NO_CATEGORY = '-';

/** Measures the answer cache: what it tells as it happens, and how it is when metrics are asked for. */
export class CacheMeter implements CacheMetrics {
  readonly #instruments: Instruments;

  constructor(instruments: Instruments) {
    this.#instruments = instruments;
  }

  looked(result: LookupResult, category: string | null, seconds: number | null): void {
    const instruments = this.#instruments;
    const labels = { result, category: category ?? NO_CATEGORY };
    instruments.count('cacheLookups', 1, labels);
    if (seconds !== null) instruments.observe('cacheLookupTime', seconds, labels);
  }

  embedded(isMade: boolean, seconds: number): void {
    this.#instruments.observe('cacheEmbeddingTime', seconds, { outcome: isMade ? 'made' : 'late' });
  }

  verified(by: 'verifier' | 'model', isSame: boolean, seconds: number): void {
    this.#instruments.observe('cacheVerificationTime', seconds, {
      by,
      outcome: isSame ? 'same' : 'different',
    });
  }

  removed(reason: RemovalReason, entries: number): void {
    if (entries > 0) this.#instruments.count('cacheEvictions', entries, { reason });
  }

  reported(category: string): void {
    this.#instruments.count('cacheReports', 1, { category });
  }

  /** Without a cache, and of categories that are gone, there is nothing to tell. */
  forget(): void {
    for (const key of CACHE_GAUGES) this.#instruments.clear(key);
  }

  /** How the cache is now. */
  read(host: CacheHost): void {
    const instruments = this.#instruments;
    const { cache, load } = host;
    const { answers, vectors } = cache;
    instruments.set('cacheAnswers', answers.entries);
    instruments.set('cacheAnswerBytes', answers.bytes);
    if (vectors !== null) {
      instruments.set('cacheIndexEntries', vectors.entries);
      instruments.set('cacheIndexBytes', vectors.bytes);
    }
    instruments.set('cacheRelaxation', load.relaxation);
    instruments.set('cacheWait', load.waitMilliseconds / 1000);
    instruments.set('cacheStoreUp', host.isStoreUp ? 1 : 0);
    instruments.set('cacheFlights', host.flights);
    for (const name of host.categories.names) this.#readCategory(host, name);
  }

  #readCategory({ cache, categories, quality }: CacheHost, category: string): void {
    const instruments = this.#instruments;
    const { entries, bytes } = cache.usage(category);
    instruments.set('cacheEntries', entries, { category });
    instruments.set('cacheBytes', bytes, { category });
    const settings = categories.get(category);
    instruments.set('cacheMostEntries', settings.maxEntries, { category });
    instruments.set('cacheMostBytes', settings.maxBytes, { category });
    instruments.set('cacheFalseHitTarget', settings.targetFalseHitRate, { category });
    const { similarityThreshold, strictness, ttlSeconds } = categories.effective(settings);
    instruments.set('cacheThreshold', similarityThreshold, { category });
    instruments.set('cacheStrictness', strictness, { category });
    instruments.set('cacheTtl', ttlSeconds, { category });
    const books = cache.economics.of(category);
    instruments.follow('cacheSavedTokens', books.promptTokensSaved, { category, kind: 'prompt' });
    instruments.follow('cacheSavedTokens', books.completionTokensSaved, { category, kind: 'completion' });
    instruments.follow('cacheSavedSeconds', books.computeSecondsSaved, { category });
    instruments.follow('cacheRejections', books.rejected, { category });
    const breakEven = breakEvenHitRate(books);
    if (breakEven !== null) instruments.set('cacheBreakEven', breakEven, { category });
    const found = quality?.estimate(category) ?? null;
    instruments.set('cacheChecks', found?.checked ?? 0, { category });
    if (found === null || found.checked === 0) return;
    instruments.set('cacheFalseHits', found.rate, { category, bound: 'estimate' });
    instruments.set('cacheFalseHits', found.low, { category, bound: 'low' });
    instruments.set('cacheFalseHits', found.high, { category, bound: 'high' });
  }
}
