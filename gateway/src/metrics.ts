import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbedderStats, Times } from '@polylora/engine';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Backend, BackendEvent, BackendStats } from './backends/backend.ts';
import type { CacheHost } from './cache/cache-host.ts';
import { CACHE_GAUGES, CacheMeter } from './cache-meter.ts';
import { METRICS, type MetricKey } from './metric-definitions.ts';
import { SequenceMeter, type SequenceMetrics } from './sequence-meter.ts';

export type KeysOf<Kind> = {
  [K in MetricKey]: (typeof METRICS)[K]['kind'] extends Kind ? K : never;
}[MetricKey];

/** HTTP methods that are counted under their own name. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Gauges that say what the backend holds. */
const BACKEND_GAUGES = [
  'running',
  'waiting',
  'kvCacheUsage',
  'loraRequests',
  'pages',
  'adapterResident',
  'tenantService',
  'tenantSequences',
] as const satisfies MetricKey[];

/** Tenants with metrics of their own, and adapters: names come from outside, and series cost memory everywhere. */
const MOST_TENANTS = 20;
const MOST_ADAPTERS = 100;

/** How long a scrape waits for the backend: monitoring must not go blind with it. */
const STATS_MILLISECONDS = 1_000;

/** Rejects when the promise takes longer. */
async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  const timeout = new AbortController();
  const late = sleep(milliseconds, undefined, { signal: timeout.signal }).then(() => {
    throw new Error(`no answer within ${milliseconds} ms`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    timeout.abort();
    late.catch(() => {});
  }
}

/** The gateway's metrics in a registry of the caller's. */
export class Metrics {
  readonly #registry: Registry;
  readonly #gauges = new Map<string, Gauge>();
  readonly #counters = new Map<string, Counter>();
  readonly #histograms = new Map<string, Histogram>();
  /** What the engine's own counters said last. */
  readonly #seen = new Map<string, number>();
  readonly #sequences: SequenceMetrics = {
    count: (name, value) => this.#count(name, value, this.#model),
    observe: (name, value) => this.#observe(name, value, this.#model),
    countFinished: (reason) =>
      this.#count('finished', 1, { model_name: this.#model.model_name, finished_reason: reason }),
  };
  /** The label of everything that is about the model. */
  #model = { model_name: '' };
  #mostAdapters = 0;
  #encoder: (() => EmbedderStats) | null = null;
  /** Is told what the answer cache does. */
  readonly cache = new CacheMeter({
    count: (key, value, labels) => this.#count(key, value, labels),
    observe: (key, value, labels) => this.#observe(key, value, labels),
    set: (key, value, labels) => this.#set(key, value, labels),
    follow: (key, total, labels) => this.#follow(key, total, labels),
  });
  #cacheHost: CacheHost | null = null;

  constructor(registry: Registry) {
    this.#registry = registry;
    for (const [key, definition] of Object.entries(METRICS)) {
      const { kind, name, help, labels } = definition;
      const options = { name, help, labelNames: [...labels], registers: [registry] };
      if (kind === 'gauge') this.#gauges.set(key, new Gauge(options));
      else if (kind === 'counter') this.#counters.set(key, new Counter(options));
      else this.#histograms.set(key, new Histogram({ ...options, buckets: [...definition.buckets] }));
    }
    this.#forgetCache();
  }

  /**
   * What some labels say from now on.
   * @param name the base model's served name
   * @param mostAdapters distinct adapters that a batch may have
   */
  setModel(name: string, mostAdapters: number): void {
    this.#model = { model_name: name };
    this.#mostAdapters = mostAdapters;
  }

  /** Counts a configuration that was read again. */
  countConfigReload(result: 'applied' | 'refused'): void {
    this.#count('configReloads', 1, { result });
  }

  /** Counts an answered HTTP request. `route` is a pattern of ours, never the client's path. */
  countHttp(route: string, method: string, status: number): void {
    const known = METHODS.has(method) ? method : 'other';
    this.#count('httpRequests', 1, { route, method: known, status: String(status) });
  }

  /** Counts a line of a batch that has its result. */
  countBatchLine(outcome: 'completed' | 'failed'): void {
    this.#count('batchLines', 1, { outcome });
  }

  /** Counts a request whose vectors were made. */
  countEmbedding(inputs: number, tokens: number, seconds: number): void {
    this.#count('embeddingInputs', inputs, {});
    this.#count('embeddingTokens', tokens, {});
    this.#observe('embeddingTime', seconds, {});
  }

  /** What the embedding model says of itself whenever metrics are asked for. */
  setEncoder(stats: () => EmbedderStats): void {
    this.#encoder = stats;
  }

  /** The answer cache, which is asked whenever metrics are. */
  setCache(host: CacheHost): void {
    this.#cacheHost = host;
  }

  setBatchLinesWaiting(lines: number): void {
    this.#set('batchLinesWaiting', lines);
  }

  /**
   * Passes a sequence's events on and measures them; leaving early counts as an abort.
   * @param isAwaited whether somebody waits for it: offline work is counted, and left out of all latencies, which would
   *   otherwise say nothing of what users see
   * @param traceId of the request's trace, where that is sampled; null else
   */
  async *observe(
    events: AsyncIterable<BackendEvent>,
    isAwaited = true,
    traceId: string | null = null,
  ): AsyncGenerator<BackendEvent> {
    const sequence = this.sequence(isAwaited, traceId);
    try {
      for await (const event of events) {
        sequence.see(event, performance.now());
        yield event;
      }
    } finally {
      sequence.end();
    }
  }

  /** What measures a sequence from now on, for one who tells it of its events. */
  sequence(isAwaited = true, traceId: string | null = null): SequenceMeter {
    return new SequenceMeter(this.#sequences, isAwaited, traceId);
  }

  /** Everything in Prometheus' text format, with the backend's state as of now. */
  async render(backend: Backend): Promise<{ contentType: string; text: string }> {
    // What cannot be asked (it may die or hang while it is asked) is not ready, and holds nothing.
    const stats = backend.ready
      ? await within(STATS_MILLISECONDS, backend.stats()).catch(() => undefined)
      : undefined;
    this.#set('engineReady', stats === undefined ? 0 : 1);
    for (const key of BACKEND_GAUGES) this.#gauges.get(key)?.reset();
    if (stats !== undefined && stats !== null) this.#readStats(stats);
    if (this.#encoder !== null) this.#readEncoder(this.#encoder());
    if (this.#cacheHost !== null) {
      this.#forgetCache();
      this.cache.read(this.#cacheHost);
    }
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  #readStats(stats: BackendStats): void {
    const model = this.#model;
    this.#set('running', stats.running, model);
    this.#set('waiting', stats.waiting, model);
    this.#set('kvCacheUsage', stats.pagesTotal === 0 ? 0 : stats.pagesKv / stats.pagesTotal, model);
    this.#set('pages', stats.pagesKv, { kind: 'kv' });
    this.#set('pages', stats.pagesPrefix, { kind: 'prefix' });
    this.#set('pages', stats.pagesAdapter, { kind: 'adapter' });
    const free = stats.pagesTotal - stats.pagesKv - stats.pagesPrefix - stats.pagesAdapter;
    this.#set('pages', free, { kind: 'free' });
    this.#follow('preemptions', stats.preemptionsTotal, model);
    this.#follow('draftedTokens', stats.draftedTokensTotal, model);
    this.#follow('acceptedTokens', stats.acceptedTokensTotal, model);
    this.#follow('adapterLoads', stats.adapterLoadsTotal, {});
    this.#follow('prefixQueries', stats.prefixQueriesTotal, model);
    this.#follow('prefixHits', stats.prefixHitsTotal, model);
    this.#follow('prefixEvictions', stats.prefixEvictionsTotal, {});
    for (const [reason, total] of Object.entries(stats.adapterEvictionsTotal)) {
      this.#follow('adapterEvictions', total, { reason });
    }
    for (const name of stats.residentAdapters.slice(0, MOST_ADAPTERS)) {
      this.#set('adapterResident', 1, { lora_name: name });
    }
    this.#readTenants(stats.tenants);
    this.#readGrammars(stats);
    this.#follow('engineRestarts', stats.restartsTotal, {});
    this.#set('loraRequests', Date.now() / 1000, {
      max_lora: String(this.#mostAdapters),
      running_lora_adapters: stats.runningAdapters.join(','),
      waiting_lora_adapters: stats.waitingAdapters.join(','),
    });
  }

  #readGrammars(stats: BackendStats): void {
    this.#set('grammarsCached', stats.grammarsCached, {});
    this.#set('grammarBytes', stats.grammarBytes, {});
    this.#follow('grammarHits', stats.grammarHitsTotal, {});
    this.#follow('grammarCompileCount', stats.grammarCompilations.count, {});
    this.#follow('grammarCompileSeconds', stats.grammarCompilations.seconds, {});
    for (const { seconds, count } of withInfinity(stats.grammarCompilations)) {
      this.#follow('grammarCompileBuckets', count, { le: seconds });
    }
    this.#follow('maskCount', stats.masks.count, {});
    this.#follow('maskSeconds', stats.masks.seconds, {});
    for (const { seconds, count } of withInfinity(stats.masks)) {
      this.#follow('maskBuckets', count, { le: seconds });
    }
    this.#follow('maskWait', stats.maskWaitSecondsTotal, {});
  }

  #readEncoder({ waiting, batchesTotal, secondsTotal }: EmbedderStats): void {
    this.#set('encoderWaiting', waiting);
    this.#follow('encoderBatches', batchesTotal, {});
    this.#follow('encoderSeconds', secondsTotal, {});
  }

  /** Without a cache, and of categories that are gone, there is nothing to tell: 0 would be something. */
  #forgetCache(): void {
    for (const key of CACHE_GAUGES) {
      const gauge = this.#gauges.get(key);
      gauge?.reset();
      gauge?.remove({});
    }
  }

  #readTenants(tenants: BackendStats['tenants']): void {
    const byLoad = [...tenants].sort((a, b) => b.live - a.live);
    for (const { tenant, counter, live } of byLoad.slice(0, MOST_TENANTS)) {
      this.#set('tenantService', counter, { tenant });
      this.#set('tenantSequences', live, { tenant });
    }
    const others = byLoad.slice(MOST_TENANTS).reduce((sum, { live }) => sum + live, 0);
    this.#set('tenantSequences', others, { tenant: 'other' });
  }

  #set(key: KeysOf<'gauge'>, value: number, labels: Record<string, string> = {}): void {
    this.#gauges.get(key)?.set(labels, value);
  }

  #count(key: KeysOf<'counter'>, value: number, labels: Record<string, string>): void {
    this.#counters.get(key)?.inc(labels, value);
  }

  #observe(key: KeysOf<'histogram'>, value: number, labels: Record<string, string>): void {
    this.#histograms.get(key)?.observe(labels, value);
  }

  /** Follows a counter that starts at 0 again when the engine does. */
  #follow(key: KeysOf<'counter'>, total: number, labels: Record<string, string>): void {
    const series = [key, ...Object.values(labels)].join(' ');
    const seen = this.#seen.get(series) ?? 0;
    this.#seen.set(series, total);
    this.#count(key, total < seen ? total : total - seen, labels);
  }
}

/** As Prometheus writes a histogram's buckets: the last has no upper end. */
function withInfinity({ count, buckets }: Times): { readonly seconds: string; readonly count: number }[] {
  const ends = buckets.map((bucket) => ({ seconds: String(bucket.seconds), count: bucket.count }));
  return [...ends, { seconds: '+Inf', count }];
}
