// `npm run bench:adapters [-- --rounds N] [--clients N] [--requests N] [--counts 1,5,100,1000,2000]`: one gateway with
// many adapters, more than its page pool holds; requests go to the first so many of them.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type AdapterFleet, writeAdapterFleet } from './adapters/adapter-fleet.ts';
import { adapterReportLines, type FleetResult, fleetRow } from './adapters/adapter-report.ts';
import { choices, type Popularity } from './adapters/popularity.ts';
import { alternate } from './alternate.ts';
import { startGateway } from './http/gateway.ts';
import { type Load, runLoad } from './http/load.ts';
import { scrapeCounter } from './http/scrape.ts';
import { benchmarkCache } from './paths.ts';
import { writeReport } from './report.ts';

/** Which adapters are asked for, of those that are served. */
interface Setting {
  readonly count: number;
  readonly popularity: Popularity;
}

const POPULARITIES: readonly Popularity[] = ['Zipf', 'uniform'];
const POOL_MEGABYTES = 1024;
const WORKLOAD = { promptTokens: 64, newTokens: 32 };

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '2' },
    clients: { type: 'string', default: '16' },
    requests: { type: 'string', default: '10' },
    counts: { type: 'string', default: '1,5,100,1000,2000' },
  },
});
const rounds = Number(values.rounds);
const counts = values.counts.split(',').map(Number);
const load: Load = {
  ...WORKLOAD,
  clients: Number(values.clients),
  requestsPerClient: Number(values.requests),
};

// One adapter is as popular either way.
const settings: readonly Setting[] = counts.flatMap((count) =>
  (count === 1 ? ['uniform' as const] : POPULARITIES).map((popularity) => ({ count, popularity })),
);

const { fleet, rows } = await withFleet(Math.max(...counts), async (fleet, url) => {
  const sides = settings.map((setting, index) => ({
    name: nameOf(setting),
    measure: (round: number) => measure(url, fleet.names, setting, round * settings.length + index),
  }));
  const results = await alternate(sides, rounds, (round, measured) => {
    const loads = measured.map((result, index) => `${sides[index]?.name} ${result.loads}`);
    console.error(`round ${round} of ${rounds}, adapters read: ${loads.join(', ')}`);
  });
  return {
    fleet,
    rows: settings.map(({ count, popularity }, index) => fleetRow(count, popularity, results[index] ?? [])),
  };
});
writeReport(
  'adapters',
  'From one adapter to thousands',
  adapterReportLines(rows, { load, rounds, fleet, poolMegabytes: POOL_MEGABYTES }),
  { load, rounds, fleetBytes: fleet.bytes, poolMegabytes: POOL_MEGABYTES, settings: rows },
);

/** Writes so many adapters, starts a gateway on them, and removes them when `work` is done. */
async function withFleet<Result>(
  count: number,
  work: (fleet: AdapterFleet, url: string) => Promise<Result>,
): Promise<Result> {
  mkdirSync(benchmarkCache(), { recursive: true });
  const folder = mkdtempSync(join(benchmarkCache(), 'adapters-'));
  try {
    const fleet = writeAdapterFleet(folder, count);
    const gateway = await startGateway(['--adapters', folder, '--pool-megabytes', String(POOL_MEGABYTES)]);
    try {
      return await work(fleet, gateway.url);
    } finally {
      await gateway.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function nameOf({ count, popularity }: Setting): string {
  return `${count} ${popularity}`;
}

/** One load on the first adapters. */
async function measure(
  url: string,
  names: readonly string[],
  { count, popularity }: Setting,
  seed: number,
): Promise<FleetResult> {
  const chosen = choices(popularity, count, load.clients * load.requestsPerClient, seed);
  const target = {
    url,
    fields: (client: number, request: number) => ({
      model: names[chosen[client * load.requestsPerClient + request] ?? 0],
    }),
  };
  const before = await scrapeCounter(url, 'polylora_adapter_loads_total');
  const completions = await runLoad(target, load, seed);
  const loads = (await scrapeCounter(url, 'polylora_adapter_loads_total')) - before;
  return { completions, loads, distinct: new Set(chosen).size };
}
