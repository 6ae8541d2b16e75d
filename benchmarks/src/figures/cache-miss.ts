import { CONTROLS, openCacheSetting, questionFor } from '../cache/cache-setting.ts';
import { fillCache } from '../cache/fill-cache.ts';
import { cachedQuestions, startEmbedder } from '../cache/question-vectors.ts';
import { percentile } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ENTRIES = 100_000;
const QUICK_ENTRIES = 10_000;
const CANDIDATES = 3;

interface MissCost {
  /** Milliseconds of each miss, embedding included. */
  readonly misses: readonly number[];
  /** Of searching the index alone. */
  readonly searches: readonly number[];
  readonly details: readonly string[];
}

let measured: Promise<MissCost> | null = null;

export const cacheMiss = figure(
  'cache-miss',
  `ms that a question takes that is not in a cache of ${ENTRIES} entries, embedding included, median`,
  ({ misses }) => percentile(misses, 0.5),
  3,
);
export const cacheMissP99 = figure(
  'cache-miss-p99',
  'ms of the same, 99th percentile',
  ({ misses }) => percentile(misses, 0.99),
  8,
);
export const cacheSearch = figure(
  'cache-search',
  'ms of the same that searching the index takes, median',
  ({ searches }) => percentile(searches, 0.5),
  0.3,
);

function figure(name: string, description: string, value: (cost: MissCost) => number, bound: number): Figure {
  return {
    name,
    description,
    must: '<=',
    bound,
    async measure({ quick = false }) {
      measured ??= measure(quick ? QUICK_ENTRIES : ENTRIES);
      const cost = await measured;
      return { value: value(cost), details: cost.details };
    },
  };
}

async function measure(count: number): Promise<MissCost> {
  const { entries, others } = await cachedQuestions(count);
  const embedder = await startEmbedder(2);
  const setting = await openCacheSetting(embedder);
  try {
    await fillCache(setting, embedder, entries, others);
    const [misses, searches]: [number[], number[]] = [[], []];
    let hits = 0;
    // As long again to warm up.
    for (const [round, { text, vector }] of [...others, ...others].entries()) {
      const question = questionFor(text);
      const started = performance.now();
      const found = await setting.cache.find(question, CONTROLS);
      const took = performance.now() - started;
      if (round < others.length) continue;
      if (found.kind === 'hit') hits += 1;
      else misses.push(took);
      const searched = performance.now();
      setting.index.search(question.partition, vector, { threshold: 0.88, k: CANDIDATES, now: 0 });
      searches.push(performance.now() - searched);
    }
    const { tokensTotal, inputsTotal } = embedder.stats();
    const told = (values: readonly number[]) =>
      `p50 ${percentile(values, 0.5).toFixed(3)} ms, p99 ${percentile(values, 0.99).toFixed(3)} ms`;
    return {
      misses,
      searches,
      details: [
        `${count} entries in one partition, ${misses.length} questions that nobody asked, one after the other; ${hits} more were answered`,
        `a question has ${(tokensTotal / inputsTotal).toFixed(1)} tokens`,
        `the whole: ${told(misses)}`,
        `searching alone: ${told(searches)}`,
      ],
    };
  } finally {
    await setting.close();
    await embedder.close();
  }
}
