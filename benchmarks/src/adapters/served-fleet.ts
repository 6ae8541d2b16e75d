import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startGateway } from '../http/gateway.ts';
import { type Load, runLoad } from '../http/load.ts';
import { scrapeMetric } from '../http/scrape.ts';
import { benchmarkCache } from '../paths.ts';
import { type AdapterFleet, writeAdapterFleet } from './adapter-fleet.ts';
import type { FleetResult } from './adapter-report.ts';
import { choices, type Popularity } from './popularity.ts';

/** S-LoRA's workload for its largest numbers of adapters, at this model's size. */
export const FLEET_POOL_MEGABYTES = 512;
export const FLEET_LOAD: Load = { promptTokens: 64, newTokens: 32, clients: 16, requestsPerClient: 10 };

/** Which adapters are asked for, of those that are served. */
export interface Setting {
  readonly count: number;
  readonly popularity: Popularity;
}

/** A gateway with many adapters. */
export interface ServedFleet {
  readonly fleet: AdapterFleet;
  /** Puts one load on the first adapters. Requests are the same for the same seed. */
  measure(setting: Setting, load: Load, seed: number): Promise<FleetResult>;
}

/** Starts a gateway on so many adapters, written into the cache directory where they are not yet, and stops it after `work`. */
export async function withServedFleet<Result>(
  count: number,
  work: (served: ServedFleet) => Promise<Result>,
): Promise<Result> {
  const folder = join(benchmarkCache(), `adapter-fleet-${count}`);
  mkdirSync(folder, { recursive: true });
  const fleet = writeAdapterFleet(folder, count);
  const gateway = await startGateway([
    '--adapters',
    folder,
    '--pool-megabytes',
    String(FLEET_POOL_MEGABYTES),
  ]);
  try {
    return await work({
      fleet,
      measure: (setting, load, seed) => measure(gateway.url, fleet.names, setting, load, seed),
    });
  } finally {
    await gateway.stop();
  }
}

async function measure(
  url: string,
  names: readonly string[],
  { count, popularity }: Setting,
  load: Load,
  seed: number,
): Promise<FleetResult> {
  const chosen = choices(popularity, count, load.clients * load.requestsPerClient, seed);
  const target = {
    url,
    fields: (client: number, request: number) => ({
      model: names[chosen[client * load.requestsPerClient + request] ?? 0],
    }),
  };
  const before = await scrapeMetric(url, 'polylora_adapter_loads_total');
  const completions = await runLoad(target, load, seed);
  const loads = (await scrapeMetric(url, 'polylora_adapter_loads_total')) - before;
  return { completions, loads, distinct: new Set(chosen).size };
}
