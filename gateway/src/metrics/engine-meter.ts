import type { EmbedderStats, Times } from '@polylora/engine';
import type { BackendStats, Computer } from '../backends/backend.ts';
import type { Distribution } from './followed-histogram.ts';
import type { Instruments, KeysOf } from './instruments.ts';
import type { Labels } from './series.ts';
import { OTHER } from './top-names.ts';

/** Gauges that say what the backend holds. */
const BACKEND_GAUGES = [
  'running',
  'waiting',
  'kvCacheUsage',
  'cacheConfig',
  'loraRequests',
  'pages',
  'adapterResident',
  'tenantSequences',
  'tenantWeight',
] as const satisfies KeysOf<'gauge'>[];

/** Tenants and adapters with gauges of their own: names come from outside, and series cost memory everywhere. */
const MOST_TENANTS = 20;
const MOST_ADAPTERS = 100;

/** Says what the engine and the embedding model tell of themselves. */
export class EngineMeter {
  readonly #instruments: Instruments;
  readonly #model: () => Labels;

  /** @param model the labels of all that is about the model, as of now */
  constructor(instruments: Instruments, model: () => Labels) {
    this.#instruments = instruments;
    this.#model = model;
  }

  /** What it was is not so any more. */
  forget(): void {
    for (const key of BACKEND_GAUGES) this.#instruments.clear(key);
  }

  /** What is known of those who compute whether they answer or not: one that dies again and again never does. */
  readComputers(computers: readonly Computer[]): void {
    const restarts = computers.flatMap(({ restarts }) => restarts ?? []);
    if (restarts.length > 0)
      this.#instruments.follow(
        'engineRestarts',
        restarts.reduce((sum, each) => sum + each),
        {},
      );
  }

  /** @param mostAdapters distinct adapters that a batch may have */
  read(stats: BackendStats, mostAdapters: number): void {
    const instruments = this.#instruments;
    const model = this.#model();
    instruments.set('running', stats.running, model);
    instruments.set('waiting', stats.waiting, model);
    this.#readPages(stats);
    instruments.follow('preemptions', stats.preemptionsTotal, model);
    instruments.follow('draftedTokens', stats.draftedTokensTotal, model);
    instruments.follow('acceptedTokens', stats.acceptedTokensTotal, model);
    instruments.follow('prefixQueries', stats.prefixQueriesTotal, model);
    instruments.follow('prefixHits', stats.prefixHitsTotal, model);
    instruments.follow('prefixEvictions', stats.prefixEvictionsTotal, {});
    this.#readSteps(stats);
    this.#readAdapters(stats, mostAdapters);
    this.#readTenants(stats.tenants);
    this.#readGrammars(stats);
  }

  readEncoder({ waiting, batchesTotal, secondsTotal }: EmbedderStats): void {
    this.#instruments.set('encoderWaiting', waiting);
    this.#instruments.follow('encoderBatches', batchesTotal, {});
    this.#instruments.follow('encoderSeconds', secondsTotal, {});
  }

  #readPages(stats: BackendStats): void {
    const { pagesTotal, pagesKv: kv, pagesPrefix: prefix, pagesAdapter, pagesAdapterInUse: inUse } = stats;
    // Adapters that sequences need do not make room for KV blocks: beside them the pool is full before all of it is KV blocks.
    const most = pagesTotal - inUse;
    this.#instruments.set('kvCacheUsage', most === 0 ? 1 : kv / most, this.#model());
    this.#instruments.set('cacheConfig', 1, {
      block_size: String(stats.pageTokens),
      num_gpu_blocks: String(pagesTotal),
    });
    const free = pagesTotal - kv - prefix - pagesAdapter;
    const pages = { kv, prefix, adapter: inUse, idle_adapter: pagesAdapter - inUse, free };
    for (const [kind, count] of Object.entries(pages)) this.#instruments.set('pages', count, { kind });
  }

  #readSteps(stats: BackendStats): void {
    const instruments = this.#instruments;
    instruments.follow('steps', stats.stepsTotal, {});
    for (const [kernel, seconds] of Object.entries(stats.stepSecondsByKernel))
      instruments.follow('stepSeconds', seconds, { kernel });
    instruments.followDistribution('stepTokens', stats.stepTokens);
    instruments.followDistribution('stepSequences', stats.stepSequences);
    instruments.followDistribution('stepAdapters', stats.stepAdapters);
  }

  #readAdapters(stats: BackendStats, mostAdapters: number): void {
    const instruments = this.#instruments;
    instruments.follow('adapterLoads', stats.adapterLoadsTotal, {});
    instruments.follow('adapterLoadFailures', stats.adapterLoadFailuresTotal, {});
    instruments.followDistribution('adapterLoadTime', distributionOf(stats.adapterLoads));
    for (const [reason, total] of Object.entries(stats.adapterEvictionsTotal))
      instruments.follow('adapterEvictions', total, { reason });
    for (const name of stats.residentAdapters.slice(0, MOST_ADAPTERS))
      instruments.set('adapterResident', 1, { lora_name: name });
    instruments.set('loraRequests', Date.now() / 1000, {
      max_lora: String(mostAdapters),
      running_lora_adapters: stats.runningAdapters.join(','),
      waiting_lora_adapters: stats.waitingAdapters.join(','),
    });
  }

  #readGrammars(stats: BackendStats): void {
    const instruments = this.#instruments;
    instruments.set('grammarsCached', stats.grammarsCached, {});
    instruments.set('grammarBytes', stats.grammarBytes, {});
    instruments.follow('grammarHits', stats.grammarHitsTotal, {});
    instruments.followDistribution('grammarCompileTime', distributionOf(stats.grammarCompilations));
    instruments.followDistribution('maskTime', distributionOf(stats.masks));
    instruments.follow('maskWait', stats.maskWaitSecondsTotal, {});
  }

  #readTenants(tenants: BackendStats['tenants']): void {
    const instruments = this.#instruments;
    const byLoad = [...tenants].sort((a, b) => b.live - a.live);
    for (const { tenant, live, weight } of byLoad.slice(0, MOST_TENANTS)) {
      instruments.set('tenantSequences', live, { tenant });
      instruments.set('tenantWeight', weight, { tenant });
    }
    const others = byLoad.slice(MOST_TENANTS).reduce((sum, { live }) => sum + live, 0);
    instruments.set('tenantSequences', others, { tenant: OTHER });
  }
}

function distributionOf({ count, seconds, buckets }: Times): Distribution {
  return { count, sum: seconds, buckets: buckets.map(({ seconds, count }) => ({ le: seconds, count })) };
}
