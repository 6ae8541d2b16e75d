// `npm run bench:adapters [-- --rounds N] [--clients N] [--requests N] [--counts 1,5,100,1000,2000]`: one gateway with
// many adapters, more than its page pool holds; requests go to the first so many of them.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeAdapterFleet } from './adapters/adapter-fleet.ts';
import { adapterReportLines, type FleetResult, fleetRow } from './adapters/adapter-report.ts';
import { choices, type Popularity } from './adapters/popularity.ts';
import { alternate } from './alternate.ts';
import { startGateway } from './http/gateway.ts';
import { type Load, runLoad } from './http/load.ts';
import { scrapeCounter } from './http/scrape.ts';
import { benchmarkCache } from './paths.ts';
import { writeReport } from './report.ts';

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

mkdirSync(benchmarkCache(), { recursive: true });
const folder = mkdtempSync(join(benchmarkCache(), 'adapters-'));
try {
  const fleet = writeAdapterFleet(folder, Math.max(...counts));
  const gateway = await startGateway(['--adapters', folder, '--pool-megabytes', String(POOL_MEGABYTES)]);
  try {
    const settings = counts.flatMap((count) =>
      // One adapter is as popular either way.
      (count === 1 ? (['uniform'] as const) : (['Zipf', 'uniform'] as const)).map((popularity) => ({
        count,
        popularity,
      })),
    );
    const results = await alternate(
      settings.map((setting, index) => ({
        name: `${setting.count} ${setting.popularity}`,
        measure: (round: number) =>
          measure(gateway.url, fleet.names, setting, round * settings.length + index),
      })),
      rounds,
      (round, measured) => {
        const rates = measured.map(({ completions, loads }, index) => {
          const { count, popularity } = settings[index] ?? { count: 0, popularity: '' };
          return `${count} ${popularity}: ${completions.length} requests, ${loads} adapters read`;
        });
        console.error(`round ${round} of ${rounds}: ${rates.join('; ')}`);
      },
    );
    const table = settings.map(({ count, popularity }, index) =>
      fleetRow(count, popularity, results[index] ?? []),
    );
    writeReport(
      'adapters',
      'From one adapter to thousands',
      adapterReportLines(table, { load, rounds, fleet, poolMegabytes: POOL_MEGABYTES }),
      { load, rounds, fleetBytes: fleet.bytes, poolMegabytes: POOL_MEGABYTES, settings: table },
    );
  } finally {
    await gateway.stop();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** One load on the first adapters. */
async function measure(
  url: string,
  names: readonly string[],
  { count, popularity }: { count: number; popularity: Popularity },
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
