import { setTimeout as sleep } from 'node:timers/promises';
import { alternate } from '../alternate.ts';
import { type Load, runLoad, type Target, type Workload } from '../http/load.ts';
import { measureRates, type Rates } from '../http/rates.ts';

/** Before each measurement, so that what the server before it still does is over: threads that spin on, say. */
const SETTLE_MS = 300;
/** A round has at least this many requests, one after the other where the clients are fewer. */
const REQUESTS_PER_ROUND = 8;

/** A server with the name that its results go by. */
export interface Contestant {
  readonly name: string;
  readonly target: Target;
}

/** What one contestant's clients saw, a result for each round. */
export interface ContestantResult {
  readonly name: string;
  readonly rounds: readonly Rates[];
}

/** The load of so many clients with the given prompt and answer lengths. */
export function loadOf(clients: number, workload: Workload): Load {
  return { ...workload, clients, requestsPerClient: Math.ceil(REQUESTS_PER_ROUND / clients) };
}

/** Puts the same load with the same prompts on every contestant in turn, round after round. */
export async function compareOverHttp<const Contestants extends readonly Contestant[]>(
  contestants: Contestants,
  load: Load,
  rounds: number,
): Promise<{ readonly [Index in keyof Contestants]: ContestantResult }> {
  const sides = contestants.map(({ name, target }) => ({
    name,
    async measure(round: number) {
      await sleep(SETTLE_MS);
      return measureRates(await runLoad(target, load, round + 1));
    },
  }));
  const results = await alternate(sides, rounds, (round, now) => {
    const rates = now.map((result, index) => `${sides[index]?.name} ${result.tokensPerSecond.toFixed(0)}`);
    console.error(`${load.clients} clients, round ${round} of ${rounds}: ${rates.join(', ')} tok/s`);
  });
  return contestants.map(({ name }, index) => ({ name, rounds: results[index] ?? [] })) as {
    readonly [Index in keyof Contestants]: ContestantResult;
  };
}

/** Output tokens per second, round by round. */
export function outputRates({ rounds }: ContestantResult): number[] {
  return rounds.map((round) => round.tokensPerSecond);
}
