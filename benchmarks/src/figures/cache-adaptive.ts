import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEFAULT_CATEGORIES } from '../../../gateway/dist/cache/categories/defaults.js';
import { alternate } from '../alternate.ts';
import { askCached } from '../cache/cached-chat.ts';
import { LABELLED_PAIRS } from '../cache/labelled-pairs.ts';
import { startGateway } from '../http/gateway.ts';
import { Random } from '../simulation/random.ts';
import { formatSpread, ratioSpread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 3;
const SECONDS = 60;
const QUICK_SECONDS = 30;
/** Of each answer. */
const MAX_TOKENS = 48;
/** What is asked how often: as 1 ÷ rank. */
const ZIPF = 1;
/** Of what is asked about a question, so much is something else that looks like it. */
const NEAR_MISS_SHARE = 0.15;
const CAPACITY_SECONDS = 8;
const CAPACITY_STREAMS = 32;
/**
 * Times of the category are divided by it: a TTL of minutes shows in a run of minutes, and what is asked in one is what one category is asked
 * of a server that many share, so that most of it has to be computed, and the engine is overloaded behind the cache as well.
 */
const TIME_SCALE = 300;

interface Run {
  /** Requests that the engine computed. */
  readonly computed: number;
  readonly asked: number;
  readonly similarHits: number;
  /** Of them, answers to another question. */
  readonly falseHits: number;
  readonly medianMs: number;
}

/** One question of a run. */
interface Arrival {
  readonly at: number;
  readonly text: string;
  /** What it asks for: equal for paraphrases. */
  readonly meaning: string;
}

export const cacheAdaptive: Figure = {
  name: 'cache-adaptive',
  description: `requests that the engine computes with load adaptation ÷ without, at twice its capacity, wrong answers within their bound`,
  must: '<=',
  bound: 0.85,
  async measure({ rounds = ROUNDS, quick = false }) {
    const seconds = quick ? QUICK_SECONDS : SECONDS;
    const rate = 2 * (await capacity());
    const sides = [
      { name: 'with', measure: (round: number) => run(true, arrivals(rate, seconds, round)) },
      { name: 'without', measure: (round: number) => run(false, arrivals(rate, seconds, round)) },
    ] as const;
    const details: string[] = [
      `${rate.toFixed(1)} questions a second, twice what is computed, for ${seconds} s`,
    ];
    const [adaptive, fixed] = await alternate(sides, rounds, (round, results) => {
      const told = results.map(
        ({ computed, asked, similarHits, falseHits, medianMs }, side) =>
          `${sides[side]!.name} adaptation ${computed} of ${asked} computed, ${similarHits} similar hits, ${falseHits} of them wrong, median ${medianMs.toFixed(0)} ms`,
      );
      details.push(`round ${round}: ${told.join('; ')}`);
    });
    const ratio = ratioSpread(
      adaptive.map(({ computed, asked }) => computed / asked),
      fixed.map(({ computed, asked }) => computed / asked),
    );
    const [similar, wrong] = [sum(adaptive, 'similarHits'), sum(adaptive, 'falseHits')];
    details.push(`computed with ÷ without: ${formatSpread(ratio, 3)}`);
    details.push(`wrong of all similar hits with adaptation: ${wrong} of ${similar}`);
    const rateOfWrong = similar === 0 ? 0 : wrong / similar;
    // Too many wrong answers are no saving.
    return { value: rateOfWrong > MOST_WRONG ? Number.POSITIVE_INFINITY : ratio.median, details };
  },
};

/** What answers are kept as: it has short times, which a run of minutes can show. */
const CATEGORY = 'time-sensitive';

const MOST_WRONG = DEFAULT_CATEGORIES.get(CATEGORY)!.targetFalseHitRate;

function sum(runs: readonly Run[], key: 'similarHits' | 'falseHits'): number {
  return runs.reduce((total, run) => total + run[key], 0);
}

/** Questions a second that the engine computes, all different. */
async function capacity(): Promise<number> {
  const gateway = await startGateway([]);
  try {
    let done = 0;
    const end = performance.now() + CAPACITY_SECONDS * 1000;
    await Promise.all(
      Array.from({ length: CAPACITY_STREAMS }, async (_, stream) => {
        for (let i = 0; performance.now() < end; i++) {
          const { query } = LABELLED_PAIRS[(stream * 31 + i) % LABELLED_PAIRS.length]!;
          await askCached(gateway.url, `${query} (${stream} ${i})`, { maxTokens: MAX_TOKENS });
          if (performance.now() < end) done += 1;
        }
      }),
    );
    return done / CAPACITY_SECONDS;
  } finally {
    await gateway.stop();
  }
}

/** Poisson arrivals of popular and less popular questions, in several wordings; the same for both sides of a round. */
function arrivals(rate: number, seconds: number, round: number): Arrival[] {
  const random = new Random(1 + round);
  const meanings = new Map<string, { readonly same: string[]; readonly near: string[] }>();
  for (const { query, candidate, sameAnswer } of LABELLED_PAIRS) {
    const known = meanings.get(query) ?? { same: [query], near: [] };
    meanings.set(query, known);
    (sameAnswer ? known.same : known.near).push(candidate);
  }
  const ranked = [...meanings.entries()]
    .map((entry) => ({ entry, order: random.next() }))
    .sort((a, b) => a.order - b.order)
    .map(({ entry }) => entry);
  const weights = ranked.map((_, rank) => 1 / (rank + 1) ** ZIPF);
  const all = weights.reduce((total, weight) => total + weight, 0);
  const list: Arrival[] = [];
  for (let at = 0; at < seconds * 1000; at += (-Math.log(1 - random.next()) / rate) * 1000) {
    const [query, { same, near }] = ranked[rankOf(weights, random.next() * all)]!;
    const isNear = near.length > 0 && random.next() < NEAR_MISS_SHARE;
    const texts = isNear ? near : same;
    const text = texts[random.below(texts.length)]!;
    list.push({ at, text, meaning: isNear ? text : query });
  }
  return list;
}

/** Where a number up to the sum of all weights falls. */
function rankOf(weights: readonly number[], number: number): number {
  let sum = 0;
  for (const [rank, weight] of weights.entries()) {
    sum += weight;
    if (number < sum) return rank;
  }
  return weights.length - 1;
}

/** Sends all of them when they are due, to a server that was just started. */
async function run(isAdaptive: boolean, list: readonly Arrival[]): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), 'polylora-adaptive-'));
  const config = join(folder, 'polylora.yaml');
  // The built-in category of what is right for minutes, in a day that is shorter; all else of it is as it is.
  const { adaptive, ttlSeconds } = DEFAULT_CATEGORIES.get(CATEGORY)!;
  const bounds = { ...adaptive!, mostTtlSeconds: adaptive!.mostTtlSeconds / TIME_SCALE };
  writeFileSync(
    config,
    JSON.stringify({
      cacheCategories: {
        [CATEGORY]: { ttlSeconds: ttlSeconds / TIME_SCALE, adaptive: isAdaptive ? bounds : null },
      },
    }),
  );
  const gateway = await startGateway([
    ...['--cache', 'semantic', '--cache-lookup-ms', '1000', '--config', config],
    ...['--data-directory', folder, '--embedding-start', 'start', '--max-queued', '20000'],
  ]);
  try {
    const texts = new Map<string, Set<string>>();
    const answered: Promise<Run>[] = [];
    const begin = performance.now();
    const times: number[] = [];
    let [computed, similarHits, falseHits] = [0, 0, 0];
    for (const { at, text, meaning } of list) {
      const wait = begin + at - performance.now();
      if (wait > 0) await sleep(wait);
      const ask = async () => {
        const {
          status,
          state,
          text: answer,
          milliseconds,
        } = await askCached(gateway.url, text, {
          maxTokens: MAX_TOKENS,
          category: CATEGORY,
        });
        if (status !== 200) throw new Error(`status ${status}`);
        times.push(milliseconds);
        const known = texts.get(answer) ?? new Set();
        texts.set(answer, known);
        if (state.startsWith('miss')) {
          computed += 1;
          known.add(meaning);
        } else if (state.startsWith('hit; level=similar')) {
          similarHits += 1;
          // An answer belongs to the questions that it was computed for.
          if (!known.has(meaning)) falseHits += 1;
        }
      };
      answered.push(ask() as Promise<never>);
    }
    await Promise.all(answered);
    times.sort((a, b) => a - b);
    return { computed, asked: list.length, similarHits, falseHits, medianMs: times[times.length >> 1]! };
  } finally {
    await gateway.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
