import type { StreamedCompletion } from '../http/completion-stream.ts';
import type { Load } from '../http/load.ts';
import { measureRates } from '../http/rates.ts';
import { formatSpread, percentile, type Spread, spread } from '../statistics.ts';
import type { AdapterFleet } from './adapter-fleet.ts';
import type { Popularity } from './popularity.ts';

/** What one load gave. */
export interface FleetResult {
  readonly completions: readonly StreamedCompletion[];
  /** Adapters that were read from disk into the pool meanwhile. */
  readonly loads: number;
  /** Adapters that were asked for. */
  readonly distinct: number;
}

/** What all rounds of a load gave. */
export interface FleetRow {
  readonly count: number;
  readonly popularity: Popularity;
  readonly distinct: Spread;
  readonly tokensPerSecond: Spread;
  /** Milliseconds to the first token, of the requests of all rounds together. */
  readonly firstTokenMs: { readonly median: number; readonly percentile95: number };
  readonly loads: Spread;
}

export function fleetRow(count: number, popularity: Popularity, rounds: readonly FleetResult[]): FleetRow {
  const firstTokens = rounds
    .flatMap(({ completions }) => completions)
    .map(({ startedAt, firstTokenAt }) => firstTokenAt - startedAt);
  return {
    count,
    popularity,
    distinct: spread(rounds.map(({ distinct }) => distinct)),
    tokensPerSecond: spread(rounds.map(({ completions }) => measureRates(completions).tokensPerSecond)),
    firstTokenMs: { median: percentile(firstTokens, 0.5), percentile95: percentile(firstTokens, 0.95) },
    loads: spread(rounds.map(({ loads }) => loads)),
  };
}

interface Circumstances {
  readonly load: Load;
  readonly rounds: number;
  readonly fleet: AdapterFleet;
  readonly poolMegabytes: number;
}

/** The Markdown of `npm run bench:adapters`. */
export function adapterReportLines(
  rows: readonly FleetRow[],
  { load, rounds, fleet, poolMegabytes }: Circumstances,
): string[] {
  const { promptTokens, newTokens, clients, requestsPerClient } = load;
  return [
    `SmolLM2-135M-Instruct behind one gateway with ${fleet.names.length} distinct adapters on the four attention projections: every second`,
    `of rank 8, every fourth of rank 16, every eighth of rank 32, every eighth of rank 64; ${(fleet.bytes / 1e9).toFixed(1)} GB in all, in a page pool of`,
    `${poolMegabytes} MiB that holds KV blocks as well. Requests go to the first so many adapters, equally often or the n-th 1/n times as`,
    `often as the first (Zipf). ${clients} clients send ${requestsPerClient} requests each, one after the other, ${promptTokens} tokens in and ${newTokens} out, streamed over HTTP,`,
    `greedy. Median (least to most) of ${rounds} rounds; times to the first token are those of all rounds together.`,
    '',
    '| adapters | popularity | asked for | output tok/s | ms to the first token, median | 95 % of them within | adapters read from disk |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows.map(row),
  ];
}

function row({ count, popularity, distinct, tokensPerSecond, firstTokenMs, loads }: FleetRow): string {
  const cells = [
    count,
    popularity,
    formatSpread(distinct),
    formatSpread(tokensPerSecond),
    firstTokenMs.median.toFixed(0),
    firstTokenMs.percentile95.toFixed(0),
    formatSpread(loads),
  ];
  return `| ${cells.join(' | ')} |`;
}
