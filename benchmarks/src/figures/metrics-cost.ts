import type { Backend, BackendStats } from '../../../gateway/dist/backends/backend.js';
import { Metrics } from '../../../gateway/dist/metrics/metrics.js';
import { LIMIT_CODES } from '../../../gateway/dist/metrics/tenant-meter.js';
import { alternate } from '../alternate.ts';
import { withGatewaySetting } from '../gateway/setting.ts';
import { startGateway } from '../http/gateway.ts';
import { runLoad } from '../http/load.ts';
import { measureRates } from '../http/rates.ts';
import type { ServerProcess } from '../http/server-process.ts';
import { processorTime } from '../processor-time.ts';
import { formatSpread, percentile, type Spread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 9;
const WORKLOAD = { promptTokens: 32, newTokens: 128, clients: 16, requestsPerClient: 1 };
const CONNECTIONS = 64;
const GATEWAY_WARM_UP = { kind: 'closed', connections: CONNECTIONS, warmUpSeconds: 0, seconds: 3 } as const;
const GATEWAY_LOAD = { kind: 'closed', connections: CONNECTIONS, warmUpSeconds: 0, seconds: 4 } as const;
/** As Prometheus is usually told, made four times as often. */
const SCRAPE_MILLISECONDS = 4_000;

const TENANTS = 500;
const ADAPTERS = 2_000;
const SCRAPES = 50;
const MOST_SCRAPE_MILLISECONDS = 50;
const MOST_SCRAPE_BYTES = 1e6;

/** Takes the metrics out of a gateway. */
const WITHOUT = ['--import', new URL('../gateway/no-metrics.js', import.meta.url).href];

export const metricsCost: Figure = {
  name: 'metrics-cost',
  description: `% of the processor time of a token that metrics cost, which is that of throughput where processors are the limit; ${WORKLOAD.clients} streams on the engine, scraped every ${SCRAPE_MILLISECONDS / 1000} s; a scrape with ${TENANTS} tenants and ${ADAPTERS} adapters takes at most ${MOST_SCRAPE_MILLISECONDS} ms and ${MOST_SCRAPE_BYTES / 1e6} MB`,
  must: '<=',
  bound: 1,
  async measure({ rounds = ROUNDS }) {
    const scrape = await measureScrape();
    const engine = await costOnEngine(rounds);
    const gateway = await costOnGateway(rounds);
    const details = [
      `a scrape after ${TENANTS} tenants and ${ADAPTERS} adapters: ${scrape.milliseconds.toFixed(1)} ms (p99 ${scrape.p99.toFixed(1)}), ${(scrape.bytes / 1000).toFixed(0)} kB, ${scrape.series} series`,
      `on the engine: ${formatSpread(engine.processor, 2)} % of the processor time of a token, in ${rounds} rounds`,
      `tokens a second, which vary by more than that: ${formatSpread(engine.tokens, 2)} % fewer`,
      `of the gateway alone, without an engine: ${formatSpread(gateway.processor, 2)} % of the processor time of a request`,
      `its requests a second: ${formatSpread(gateway.requests, 2)} % fewer`,
    ];
    const isTooLarge = scrape.p99 > MOST_SCRAPE_MILLISECONDS || scrape.bytes > MOST_SCRAPE_BYTES;
    const alsoShort = [
      isTooLarge &&
        `a scrape may take at most ${MOST_SCRAPE_MILLISECONDS} ms at p99 and ${MOST_SCRAPE_BYTES / 1000} kB`,
    ];
    return { value: engine.processor.median, details, alsoShort };
  },
};

/** How much less there is with than without, in per cent, round by round. */
function lost(withMetrics: readonly number[], without: readonly number[]): Spread {
  return spread(withMetrics.map((value, round) => 100 * (1 - value / (without[round] ?? Number.NaN))));
}

/**
 * Measures with metrics and without, in turn. Each round starts its servers anew: how its code is compiled and where its memory lies
 * makes one process a fifth slower than the next for as long as it runs.
 * @param measure starts a server with these flags of its process
 */
async function beside<Result>(
  rounds: number,
  measure: (nodeFlags: readonly string[], round: number) => Promise<Result>,
): Promise<readonly [withMetrics: Result[], without: Result[]]> {
  const side = (name: string, nodeFlags: readonly string[]) => ({
    name,
    measure: (round: number) => measure(nodeFlags, round),
  });
  return alternate([side('with metrics', []), side('without', WITHOUT)], rounds, () => {});
}

/** What a round took and gave. */
interface Round {
  readonly tokensPerSecond: number;
  /** Milliseconds of processors for a token: in the gateway's process, and in the engine's as well. */
  readonly inGateway: number;
  readonly inAll: number;
}

/**
 * What metrics take of the gateway's processor time for a token, of all that a token takes, and how many fewer tokens there are. The
 * engine's process is the same on both sides; its time is more than the gateway's by far, and varies by more than metrics cost.
 */
async function costOnEngine(rounds: number): Promise<{ processor: Spread; tokens: Spread }> {
  const [withMetrics, without] = await beside(rounds, async (nodeFlags, round) => {
    const server = await startGateway(['--log-level', 'error'], nodeFlags);
    try {
      await measureRound(server, round);
      return await measureRound(server, rounds + round);
    } finally {
      await server.stop();
    }
  });
  const rates = (all: readonly Round[]) => all.map(({ tokensPerSecond }) => tokensPerSecond);
  return {
    processor: spread(
      withMetrics.map(
        ({ inGateway, inAll }, round) =>
          (100 * (inGateway - (without[round]?.inGateway ?? Number.NaN))) / inAll,
      ),
    ),
    tokens: lost(rates(withMetrics), rates(without)),
  };
}

async function measureRound({ url, child }: ServerProcess, seed: number): Promise<Round> {
  const pid = child.pid ?? Number.NaN;
  const scraping = setInterval(() => void fetch(`${url}/metrics`), SCRAPE_MILLISECONDS);
  try {
    const before = processorTime(pid);
    const completions = await runLoad({ url, fields: () => ({ model: 'base' }) }, WORKLOAD, seed);
    const after = processorTime(pid);
    const tokens = WORKLOAD.newTokens * WORKLOAD.clients * WORKLOAD.requestsPerClient;
    const inGateway = (after.own - before.own) / tokens;
    return {
      tokensPerSecond: measureRates(completions).tokensPerSecond,
      inGateway,
      inAll: inGateway + (after.children - before.children) / tokens,
    };
  } finally {
    clearInterval(scraping);
  }
}

/** The same of a gateway that computes nothing: what a request takes of it, and how many fewer there are. */
function costOnGateway(rounds: number): Promise<{ processor: Spread; requests: Spread }> {
  return withGatewaySetting(async ({ generator, startGateway }) => {
    const [withMetrics, without] = await beside(rounds, async (nodeFlags) => {
      const target = await startGateway(nodeFlags);
      try {
        await generator.run({ ...GATEWAY_WARM_UP, target });
        const before = processorTime(target.pid).own;
        const { perSecond } = await generator.run({ ...GATEWAY_LOAD, target });
        return { perSecond, milliseconds: (processorTime(target.pid).own - before) / perSecond };
      } finally {
        await target.stop();
      }
    });
    const times = (all: readonly { milliseconds: number }[]) => all.map(({ milliseconds }) => milliseconds);
    const rates = (all: readonly { perSecond: number }[]) => all.map(({ perSecond }) => perSecond);
    // What is left without them, of what there is with them.
    return {
      processor: lost(times(without), times(withMetrics)),
      requests: lost(rates(withMetrics), rates(without)),
    };
  });
}

/** A scrape of a server that many tenants with many adapters have used, each of whom has met every limit. */
async function measureScrape() {
  const metrics = new Metrics();
  metrics.setModel('SmolLM2-135M-Instruct', 64);
  metrics.watchProcess('engine', { models: '/', store: '/', data: '/' });
  const tenants = Array.from({ length: TENANTS }, (_, i) => `tenant-of-customer-${i}`);
  for (const [i, tenant] of tenants.entries()) {
    for (const code of LIMIT_CODES)
      metrics.countHttp({ ...REQUEST, status: 429, tenant, code, seconds: 0.001 });
    for (const status of [200, 400, 499, 500])
      metrics.countHttp({ ...REQUEST, status, tenant, code: null, seconds: 0.1 });
    for (let j = i; j < ADAPTERS; j += TENANTS) {
      const model = { id: `${tenant}/adapter-${j}`, mixture: null };
      const sequence = metrics.sequence({ tenant, model, isAwaited: true, traceId: null, live: null });
      sequence.see({ type: 'start', promptTokens: 10, promptText: null }, performance.now());
      sequence.see({ type: 'delta', text: 'a', tokens: 1, logprobs: null }, performance.now());
      sequence.see(
        { type: 'finish', reason: 'stop', stopReason: null, usage: USAGE, queuedSeconds: 0 },
        null,
      );
      sequence.end(null);
    }
    metrics.countSpend(tenant, 0.01);
  }
  metrics.setBudgets(() => new Map(tenants.map((name) => [name, 0.5])));
  const stats = statsOf(tenants);
  const backend = { ready: true, computers: [], stats: async () => stats } as unknown as Backend;
  const times: number[] = [];
  let text = '';
  for (let i = 0; i < SCRAPES; i++) {
    const started = performance.now();
    text = await metrics.render(backend, 'openmetrics');
    times.push(performance.now() - started);
  }
  return {
    milliseconds: percentile(times, 0.5),
    p99: percentile(times, 0.99),
    bytes: Buffer.byteLength(text),
    series: text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length,
  };
}

const REQUEST = { route: '/v1/chat/completions', method: 'POST' } as const;
const USAGE = { promptTokens: 10, completionTokens: 1, cachedPromptTokens: 0 };

/** As the engine tells where all tenants have requests and all adapters are in the pool. */
function statsOf(tenants: readonly string[]): Partial<BackendStats> {
  const buckets = Array.from({ length: 12 }, (_, i) => ({ le: 2 ** i, count: i * 100 }));
  const distribution = { count: 1_200, sum: 1e5, buckets };
  const times = {
    count: 1_200,
    seconds: 10,
    buckets: buckets.map(({ le, count }) => ({ seconds: le, count })),
  };
  const adapters = tenants.flatMap((tenant) => Array.from({ length: 4 }, (_, i) => `${tenant}/adapter-${i}`));
  return {
    ...{
      running: 64,
      waiting: 436,
      pagesTotal: 10_000,
      pageTokens: 16,
      pagesKv: 4_000,
      pagesPrefix: 3_000,
      pagesAdapter: 2_000,
      pagesAdapterInUse: 500,
    },
    ...{
      residentAdapters: adapters,
      runningAdapters: adapters.slice(0, 64),
      waitingAdapters: adapters.slice(64, 500),
    },
    ...{
      stepsTotal: 1,
      stepSecondsTotal: 1,
      operatorSecondsTotal: 1,
      promptTokensTotal: 1,
      generationTokensTotal: 1,
    },
    ...{
      draftedTokensTotal: 1,
      acceptedTokensTotal: 1,
      preemptionsTotal: 1,
      adapterLoadsTotal: 1,
    },
    ...{ adapterEvictionsTotal: { kv: 1, adapter: 1, removed: 1, failed: 1 }, prefixEvictionsTotal: 1 },
    ...{ prefixQueriesTotal: 1, prefixHitsTotal: 1, grammarsCached: 1, grammarBytes: 1, grammarHitsTotal: 1 },
    ...{ grammarCompilations: times, masks: times, maskWaitSecondsTotal: 1, adapterLoads: times },
    ...{ stepTokens: distribution, stepSequences: distribution, stepAdapters: distribution },
    stepSecondsByKernel: { attention: 1, linear: 1, graph: 1 } as never,
    adapterLoadFailuresTotal: 0,
    restartsTotal: 0,
    service: { total: 1e6, byTenant: new Map(tenants.map((tenant, i) => [tenant, 100 * i])) },
    tenants: tenants.map((tenant, i) => ({ tenant, weight: 1, counter: i, live: i % 7, running: i % 2 })),
  };
}
