import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEFAULT_CATEGORIES } from '../../../gateway/dist/cache/categories/defaults.js';
import { alternate } from '../alternate.ts';
import { askCached } from '../cache/cached-chat.ts';
import { LABELLED_PAIRS } from '../cache/labelled-pairs.ts';
import { drawMeanings, inWords, otherIn } from '../cache/questions.ts';
import { startGateway } from '../http/gateway.ts';
import { scrapeMetric } from '../http/scrape.ts';
import { Random } from '../simulation/random.ts';
import { formatSpread, percentile, ratioSpread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 3;
/** At the engine's capacity, so that the cache has in it what is asked often; it does not count. */
const WARM_UP_SECONDS = 60;
/** At twice that. */
const SECONDS = 90;
/** Of each answer. */
const MAX_TOKENS = 32;
/** What is asked: the labelled questions, and others, as many as to make this. */
const QUESTIONS = 2_000;
/** How often each is: as 1 ÷ rank to the power of it, as on the web (Breslau et al., 1999, found 0.64 to 0.83). */
const ZIPF = 0.8;
const WORDINGS = [0, 1, 2];
/** Of what is asked about a question, so much is something else that looks like it. */
const NEAR_MISS_SHARE = 0.15;
const CAPACITY_SECONDS = 8;
const CAPACITY_STREAMS = 32;
/** What answers are kept as: the same questions in many words, and answers that are good for a day. */
const CATEGORY = 'support';
/** Of its similar hits. */
const MOST_WRONG = DEFAULT_CATEGORIES.get(CATEGORY)!.targetFalseHitRate;
/** Its day is so long here. A longer TTL saves what is asked again after the shorter one: that shows over some TTLs. */
const DAY_SECONDS = 20;
const TIME_SCALE = 86_400 / DAY_SECONDS;

interface Run {
  /** Requests that the engine computed. */
  readonly computed: number;
  readonly asked: number;
  readonly similarHits: number;
  /** Of them, answers to another question. */
  readonly falseHits: number;
  readonly medianMs: number;
  /** How far categories that are adaptive were told to go towards their bounds, on average; `NaN`: it was never asked. */
  readonly relaxation: number;
}

/** One question of a run. */
interface Arrival {
  /** Milliseconds from the start of what counts: before it, it warms up. */
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
    const computable = await capacity();
    const sides = [
      { name: 'with', measure: (round: number) => run(true, arrivals(computable, round)) },
      { name: 'without', measure: (round: number) => run(false, arrivals(computable, round)) },
    ] as const;
    const details: string[] = [
      `${(2 * computable).toFixed(1)} questions a second, twice what is computed, from among ${QUESTIONS}, for ${SECONDS} s; a day is ${DAY_SECONDS} s`,
    ];
    const [adaptive, fixed] = await alternate(sides, quick ? 1 : rounds, (round, results) => {
      const told = results.map(
        ({ computed, asked, similarHits, falseHits, medianMs, relaxation }, side) =>
          `${sides[side]!.name} adaptation ${computed} of ${asked} computed, ${similarHits} similar hits, ${falseHits} of them wrong, median ${(medianMs / 1000).toFixed(1)} s, controller at ${relaxation.toFixed(2)} on average`,
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

/** Something that is asked, and something else that looks like it. */
interface Asked {
  readonly same: readonly string[];
  readonly near: readonly string[];
}

/** The labelled questions and, since they are few, others, in any order. */
function pool(random: Random): Asked[] {
  const labelled = new Map<string, { readonly same: string[]; readonly near: string[] }>();
  for (const { query, candidate, sameAnswer } of LABELLED_PAIRS) {
    const known = labelled.get(query) ?? { same: [query], near: [] };
    labelled.set(query, known);
    (sameAnswer ? known.same : known.near).push(candidate);
  }
  const others = drawMeanings(QUESTIONS - labelled.size, random).map((meaning) => ({
    same: WORDINGS.map((wording) => inWords(meaning, wording)),
    near: [inWords(otherIn(meaning, random), 0)],
  }));
  return [...labelled.values(), ...others]
    .map((asked) => ({ asked, order: random.next() }))
    .sort((a, b) => a.order - b.order)
    .map(({ asked }) => asked);
}

/** Poisson arrivals of popular and less popular questions, in several wordings; the same for both sides of a round. */
function arrivals(computable: number, round: number): Arrival[] {
  const random = new Random(1 + round);
  const ranked = pool(random);
  const weights = ranked.map((_, rank) => 1 / (rank + 1) ** ZIPF);
  const all = weights.reduce((total, weight) => total + weight, 0);
  const list: Arrival[] = [];
  for (let at = -WARM_UP_SECONDS * 1000; at < SECONDS * 1000; ) {
    const { same, near } = ranked[rankOf(weights, random.next() * all)]!;
    const isNear = random.next() < NEAR_MISS_SHARE;
    const texts = isNear ? near : same;
    const text = texts[random.below(texts.length)]!;
    list.push({ at, text, meaning: isNear ? text : same[0]! });
    const rate = at < 0 ? computable : 2 * computable;
    at += (-Math.log(1 - random.next()) / rate) * 1000;
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
  // The built-in category but for the length of a day.
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
  let watching: NodeJS.Timeout | undefined;
  try {
    const texts = new Map<string, Set<string>>();
    const answered: Promise<void>[] = [];
    const begin = performance.now() + WARM_UP_SECONDS * 1000;
    const times: number[] = [];
    let [computed, asked, similarHits, falseHits] = [0, 0, 0, 0];
    const relaxations: number[] = [];
    watching = setInterval(async () => {
      if (performance.now() < begin) return;
      // No answer says nothing.
      const relaxation = await scrapeMetric(gateway.url, 'polylora_cache_relaxation').catch(() => null);
      if (relaxation !== null) relaxations.push(relaxation);
    }, 1_000);
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
        const counts = at >= 0;
        if (counts) {
          asked += 1;
          times.push(milliseconds);
        }
        const known = texts.get(answer) ?? new Set();
        texts.set(answer, known);
        if (state.startsWith('miss')) {
          if (counts) computed += 1;
          known.add(meaning);
        } else if (counts && state.startsWith('hit; level=similar')) {
          similarHits += 1;
          // An answer belongs to the questions that it was computed for.
          if (!known.has(meaning)) falseHits += 1;
        }
      };
      answered.push(ask());
    }
    // Until the last has come: who waits then was asked while there was more than can be computed.
    clearInterval(watching);
    await Promise.all(answered);
    const relaxation = relaxations.reduce((total, one) => total + one, 0) / relaxations.length;
    return { computed, asked, similarHits, falseHits, medianMs: percentile(times, 0.5), relaxation };
  } finally {
    clearInterval(watching);
    await gateway.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
