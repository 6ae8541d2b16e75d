import type { EmbedderStats } from '@polylora/engine';
import { collectDefaultMetrics, type OpenMetricsContentType, Registry } from 'prom-client';
import type { Backend, BackendStats } from '../backends/backend.ts';
import type { CacheHost } from '../cache/cache-host.ts';
import { VERSION } from '../version.ts';
import { AdapterMeter } from './adapter-meter.ts';
import { Backlog } from './backlog.ts';
import { CacheMeter } from './cache-meter.ts';
import { Disks, type DiskUse } from './disks.ts';
import { EngineMeter } from './engine-meter.ts';
import type { ExpositionFormat } from './exposition.ts';
import { Instruments } from './instruments.ts';
import { type Measured, SEQUENCE_ENDS, SequenceMeter, type SequenceMeters } from './sequence-meter.ts';
import { type BudgetShares, TenantMeter } from './tenant-meter.ts';
import { within } from './within.ts';

/** HTTP methods that are counted under their own name. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

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

/** The gateway's metrics. */
export class Metrics {
  /** It lets exemplars in, whatever is asked for in the end. */
  readonly #registry = new Registry<OpenMetricsContentType>();
  readonly #instruments: Instruments;
  /** What each request has counted. */
  readonly #backlog = new Backlog();
  readonly #engine: EngineMeter;
  readonly #tenants: TenantMeter;
  readonly #sequences: SequenceMeters;
  /** The label of everything that is about the model. */
  #model = { model_name: '' };
  #mostAdapters = 0;
  #encoder: (() => EmbedderStats) | null = null;
  readonly #disks = new Disks();
  /** Scrapes so far, and the last of those that have been told. */
  #turns = 0;
  #toldTurn = 0;
  #directories: Readonly<Record<string, string>> = {};
  /** Whether the backend has been ready since the server's start. */
  #hasBeenReady = false;
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
      ...{ backlog: this.#backlog, instruments, tenants: this.#tenants, model },
      adapters: new AdapterMeter(instruments, now),
    };
    this.cache = new CacheMeter(instruments);
    this.cache.forget();
    for (const result of ['applied', 'refused']) instruments.count('configReloads', 0, { result });
    // What the server starts with is valid.
    instruments.set('configReloadSuccessful', 1);
  }

  /**
   * What some labels say from now on.
   * @param name the base model's served name
   * @param mostAdapters distinct adapters that a batch may have
   */
  setModel(name: string, mostAdapters: number): void {
    this.#model = { model_name: name };
    // As with routes: a first failure would be no increase.
    for (const finished_reason of SEQUENCE_ENDS)
      this.#instruments.count('finished', 0, { model_name: name, finished_reason });
    for (const key of ['firstToken', 'firstTokenGivenUp'] as const)
      this.#instruments.begin(key, { model_name: name });
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
    this.#instruments.set('configReloadSuccessful', result === 'applied' ? 1 : 0);
  }

  countHttp({ route, method, status, seconds, tenant, code }: AnsweredRequest): void {
    this.#backlog.add(() => {
      const known = METHODS.has(method) ? method : 'other';
      this.#prepare(route, known);
      this.#instruments.count('httpRequests', 1, { route, method: known, status: String(status) });
      this.#instruments.observe('httpTime', seconds, { route });
      if (code !== null) this.countError(code);
      if (tenant !== null) this.#tenants.request(tenant, status, code);
    });
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

  /** Counts an adapter that could not be had for the engine; those that it could not read itself it tells of. */
  countAdapterLoadFailure(): void {
    this.#instruments.count('adapterLoadFailures', 1, {});
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
    this.#backlog.add(() => this.#tenants.spent(tenant, money));
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

  /** What measures a sequence from now on: it is to be told of its events. */
  sequence(measured: Measured): SequenceMeter {
    return new SequenceMeter(this.#sequences, measured);
  }

  /** Everything as text, with the backend's state as of now. */
  async render(backend: Backend, format: ExpositionFormat): Promise<string> {
    // What cannot be asked (it may die or hang while it is asked) is not ready, and holds nothing.
    const asked = backend.ready
      ? within(STATS_MILLISECONDS, backend.stats()).catch(() => undefined)
      : undefined;
    const turn = ++this.#turns;
    const [stats, disks] = await Promise.all([asked, this.#disks.read(this.#directories)]);
    this.#backlog.settle();
    // What was asked later may be told already: counters would take what is older for a new beginning.
    if (turn > this.#toldTurn) {
      this.#toldTurn = turn;
      this.#tell(backend, stats, disks);
    }
    return this.#instruments.text(format);
  }

  /** Nothing waits in here: gauges are taken out and set again, and another scrape may be under way. */
  #tell(backend: Backend, stats: BackendStats | null | undefined, disks: ReadonlyMap<string, DiskUse>): void {
    const isReady = stats !== undefined;
    this.#hasBeenReady ||= isReady;
    this.#instruments.set('engineReady', isReady ? 1 : 0);
    this.#instruments.set('engineStarting', this.#hasBeenReady ? 0 : 1);
    this.#engine.forget();
    this.#engine.readComputers(backend.computers);
    if (stats !== undefined && stats !== null) {
      this.#engine.read(stats, this.#mostAdapters);
      this.#tenants.served(stats.service, stats.restartsTotal);
    }
    if (this.#encoder !== null) this.#engine.readEncoder(this.#encoder());
    this.#tenants.read();
    if (this.#cacheHost !== null) {
      this.cache.forget();
      this.cache.read(this.#cacheHost);
    }
    this.#readDisks(disks);
  }

  #readDisks(disks: ReadonlyMap<string, DiskUse>): void {
    for (const key of ['diskFree', 'diskSize'] as const) this.#instruments.clear(key);
    for (const [directory, { free, size }] of disks) {
      this.#instruments.set('diskFree', free, { directory });
      this.#instruments.set('diskSize', size, { directory });
    }
  }
}
