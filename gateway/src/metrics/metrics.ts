import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbedderStats } from '@polylora/engine';
import { collectDefaultMetrics, type OpenMetricsContentType, Registry } from 'prom-client';
import type { Backend, BackendEvent } from '../backends/backend.ts';
import type { CacheHost } from '../cache/cache-host.ts';
import { VERSION } from '../version.ts';
import { AdapterMeter } from './adapter-meter.ts';
import { CacheMeter } from './cache-meter.ts';
import { readDisks } from './disks.ts';
import { EngineMeter } from './engine-meter.ts';
import type { ExpositionFormat } from './exposition.ts';
import { Instruments } from './instruments.ts';
import { type Measured, SequenceMeter, type SequenceMeters } from './sequence-meter.ts';
import { type BudgetShares, TenantMeter } from './tenant-meter.ts';

/** HTTP methods that are counted under their own name. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** How sequences end. */
const FINISHED = ['stop', 'length', 'abort', 'error'] as const;
/** What alerts count of routes. */
const FAILURES = ['500', '502', '503'] as const;

/** Sums of what is told by type as well, which are called as if they were counters. */
const MISNAMED = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
] as const;

/** How long a scrape waits for the backend: monitoring must not go blind with it. */
const STATS_MILLISECONDS = 1_000;

/** An HTTP request that was answered. */
export interface AnsweredRequest {
  /** A pattern of ours, never the client's path. */
  readonly route: string;
  readonly method: string;
  readonly status: number;
  /** Until the answer's head. */
  readonly seconds: number;
  /** Who asked; null where nobody was let in. */
  readonly tenant: string | null;
  /** Of its error; null: it has none. */
  readonly code: string | null;
}

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

/** The gateway's metrics. */
export class Metrics {
  /** It lets exemplars in, whatever is asked for in the end. */
  readonly #registry = new Registry<OpenMetricsContentType>();
  readonly #instruments: Instruments;
  readonly #engine: EngineMeter;
  readonly #tenants: TenantMeter;
  readonly #sequences: SequenceMeters;
  /** The label of everything that is about the model. */
  #model = { model_name: '' };
  #mostAdapters = 0;
  #encoder: (() => EmbedderStats) | null = null;
  #directories: Readonly<Record<string, string>> = {};
  /** Is told what the answer cache does. */
  readonly cache: CacheMeter;
  #cacheHost: CacheHost | null = null;
  /** Methods and routes whose failures are counted from 0. */
  readonly #prepared = new Set<string>();

  constructor() {
    const model = () => this.#model;
    const now = () => performance.now();
    this.#registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    const instruments = new Instruments(this.#registry, model);
    this.#instruments = instruments;
    this.#engine = new EngineMeter(instruments, model);
    this.#tenants = new TenantMeter(instruments, now);
    this.#sequences = {
      ...{ instruments, tenants: this.#tenants, model },
      adapters: new AdapterMeter(instruments, now),
    };
    this.cache = new CacheMeter(instruments);
    this.cache.forget();
    for (const result of ['applied', 'refused']) instruments.count('configReloads', 0, { result });
  }

  /**
   * What some labels say from now on.
   * @param name the base model's served name
   * @param mostAdapters distinct adapters that a batch may have
   */
  setModel(name: string, mostAdapters: number): void {
    this.#model = { model_name: name };
    // As with routes: a first failure would be no increase.
    for (const finished_reason of FINISHED)
      this.#instruments.count('finished', 0, { model_name: name, finished_reason });
    this.#mostAdapters = mostAdapters;
  }

  /** What is told of the process, which there is one of. @param directories where it keeps things, by what they are called in series */
  watchProcess(backend: Backend['computer'], directories: Readonly<Record<string, string>>): void {
    collectDefaultMetrics({ register: this.#registry });
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name);
    this.#directories = directories;
    this.#instruments.set('buildInfo', 1, { version: VERSION, node: process.version, backend });
  }

  /** Counts a configuration that was read again. */
  countConfigReload(result: 'applied' | 'refused'): void {
    this.#instruments.count('configReloads', 1, { result });
  }

  countHttp({ route, method, status, seconds, tenant, code }: AnsweredRequest): void {
    const known = METHODS.has(method) ? method : 'other';
    this.#prepare(route, known);
    this.#instruments.count('httpRequests', 1, { route, method: known, status: String(status) });
    this.#instruments.observe('httpTime', seconds, { route });
    if (code !== null) this.countError(code);
    if (tenant !== null) this.#tenants.request(tenant, status, code);
  }

  /** A series' first value is no increase to Prometheus, so that a first burst of failures would not be seen. */
  #prepare(route: string, method: string): void {
    const key = `${method} ${route}`;
    if (this.#prepared.has(key) || !route.startsWith('/v1/')) return;
    this.#prepared.add(key);
    for (const status of FAILURES) this.#instruments.count('httpRequests', 0, { route, method, status });
  }

  /** Counts a failure by its code: also one in the middle of a stream, whose status was 200. */
  countError(code: string): void {
    this.#instruments.count('errors', 1, { code });
  }

  /** Counts a line of a batch that has its result. */
  countBatchLine(outcome: 'completed' | 'failed'): void {
    this.#instruments.count('batchLines', 1, { outcome });
  }

  /** Counts a request whose vectors were made. */
  countEmbedding(inputs: number, tokens: number, seconds: number): void {
    this.#instruments.count('embeddingInputs', inputs, {});
    this.#instruments.count('embeddingTokens', tokens, {});
    this.#instruments.observe('embeddingTime', seconds, {});
  }

  /** Counts what a tenant was charged. @param money in the currency's unit */
  countSpend(tenant: string, money: number): void {
    this.#tenants.spent(tenant, money);
  }

  setBudgets(budgets: BudgetShares): void {
    this.#tenants.setBudgets(budgets);
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
    this.#instruments.set('batchLinesWaiting', lines);
  }

  /** Passes a sequence's events on and measures them; leaving early counts as an abort. */
  async *observe(events: AsyncIterable<BackendEvent>, measured: Measured): AsyncGenerator<BackendEvent> {
    const sequence = this.sequence(measured);
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
  sequence(measured: Measured): SequenceMeter {
    return new SequenceMeter(this.#sequences, measured);
  }

  /** Everything as text, with the backend's state as of now. */
  async render(backend: Backend, format: ExpositionFormat): Promise<string> {
    // What cannot be asked (it may die or hang while it is asked) is not ready, and holds nothing.
    const stats = backend.ready
      ? await within(STATS_MILLISECONDS, backend.stats()).catch(() => undefined)
      : undefined;
    this.#instruments.set('engineReady', stats === undefined ? 0 : 1);
    this.#engine.forget();
    if (stats !== undefined && stats !== null) this.#engine.read(stats, this.#mostAdapters);
    if (this.#encoder !== null) this.#engine.readEncoder(this.#encoder());
    this.#tenants.read();
    if (this.#cacheHost !== null) {
      this.cache.forget();
      this.cache.read(this.#cacheHost);
    }
    await readDisks(this.#instruments, this.#directories);
    return this.#instruments.text(format);
  }
}
