import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeRandomAdapters } from './adapters/random-adapter.ts';
import { alternate } from './alternate.ts';
import { startGateway } from './http/gateway.ts';
import { runLoad, type Workload } from './http/load.ts';
import { measureRates, type Rates, whileAllDecode } from './http/rates.ts';
import { ratioSpread, type Spread, spread } from './statistics.ts';

const STREAMS = 16;
const RANK = 16;

/** A short question with an answer of a paragraph or two: nearly all time goes into decoding. */
export const CHAT: Workload = { promptTokens: 32, newTokens: 256 };
/** A prompt longer than its answer: most time goes into reading prompts. */
export const PROMPT_HEAVY: Workload = { promptTokens: 128, newTokens: 48 };

/** What some rounds of simultaneous streams gave; `Rates` says more. */
export interface Throughput {
  readonly tokensPerSecond: Spread;
  /** Of the time in which every stream decodes. */
  readonly decodeTokensPerSecond: Spread;
  readonly firstTokenMs: Spread;
}

export interface ThroughputReport extends Workload {
  readonly streams: number;
  readonly rank: number;
  readonly rounds: number;
  readonly adapters: Throughput;
  readonly base: Throughput;
  /** Adapters' tokens per second over the base model's in the round beside it. */
  readonly ratio: Spread;
}

/**
 * Sixteen streams over HTTP, each on an adapter of its own (rank 16, all seven projections), against sixteen on
 * the base model; rounds of both alternate, after one of each that does not count.
 */
export async function measureThroughput(
  workload: Workload,
  rounds: number,
  flags: readonly string[],
): Promise<ThroughputReport> {
  const folder = mkdtempSync(join(tmpdir(), 'polylora-bench-'));
  try {
    const names = writeRandomAdapters(folder, STREAMS, RANK);
    const gateway = await startGateway(['--adapters', folder, ...flags]);
    try {
      return await compare(gateway.url, names, workload, rounds);
    } finally {
      await gateway.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function compare(
  url: string,
  names: readonly string[],
  workload: Workload,
  rounds: number,
): Promise<ThroughputReport> {
  const load = { ...workload, clients: STREAMS, requestsPerClient: 1 };
  let seed = 0;
  const side = (name: string, modelOf: (client: number) => string | undefined) => ({
    name,
    async measure() {
      const completions = await runLoad(
        { url, fields: (client) => ({ model: modelOf(client) }) },
        load,
        ++seed,
      );
      return { ...measureRates(completions), decodeTokensPerSecond: whileAllDecode(completions) };
    },
  });
  const [adapters, base] = await alternate(
    [side('adapters', (client) => names[client]), side('base model', () => 'base')],
    rounds,
    (round, results) => {
      const rates = results.map((result) => `${result.tokensPerSecond.toFixed(0)} tok/s`);
      console.error(
        `round ${round} of ${rounds}: ${rates[0]} on ${STREAMS} adapters, ${rates[1]} on the base model`,
      );
    },
  );
  return {
    streams: STREAMS,
    rank: RANK,
    ...workload,
    rounds,
    adapters: summarize(adapters),
    base: summarize(base),
    ratio: ratioSpread(adapters.map(tokensPerSecond), base.map(tokensPerSecond)),
  };
}

interface Round extends Rates {
  readonly decodeTokensPerSecond: number;
}

function tokensPerSecond(result: Rates): number {
  return result.tokensPerSecond;
}

function summarize(rounds: readonly Round[]): Throughput {
  return {
    tokensPerSecond: spread(rounds.map(tokensPerSecond)),
    decodeTokensPerSecond: spread(rounds.map((round) => round.decodeTokensPerSecond)),
    firstTokenMs: spread(rounds.map((round) => round.firstTokenMs)),
  };
}
