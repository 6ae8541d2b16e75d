import type { Embedder, Embedding } from '@polylora/engine';
import { alternate } from '../alternate.ts';
import { CONTROLS, openCacheSetting, questionFor } from '../cache/cache-setting.ts';
import { fillCache } from '../cache/fill-cache.ts';
import { askGptCache } from '../cache/gptcache.ts';
import { LABELLED_PAIRS } from '../cache/labelled-pairs.ts';
import { cachedQuestions, startEmbedder } from '../cache/question-vectors.ts';
import { formatSpread, percentile, ratioSpread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 3;
const ENTRIES = 10_000;
const ASKED = 300;
/** Of the near-misses, so many may be answered. */
const MOST_FALSE = 0.05;

export const cacheVsGptcache: Figure = {
  name: 'cache-vs-gptcache',
  description: `time of a lookup in ${ENTRIES} entries ÷ GPTCache's, both given the same embeddings; with what share of the labelled paraphrases each answers`,
  must: '<=',
  bound: 1,
  async measure({ rounds = ROUNDS, quick = false }) {
    const { entries, others } = await cachedQuestions(quick ? 1_000 : ENTRIES);
    const asked = others.slice(0, ASKED);
    const embedder = await startEmbedder(1);
    const embeddings = new Map<string, Embedding>();
    const embed = async (text: string) => {
      const [embedding] = await embedder.embed({ inputs: [text], truncate: 'model', signature: true });
      embeddings.set(text, embedding!);
      return { text, vector: embedding!.vector };
    };
    const pairs = await Promise.all(
      LABELLED_PAIRS.map(({ query, candidate }) => Promise.all([embed(query), embed(candidate)])),
    );
    for (const { text } of asked) await embed(text);
    const setting = await openCacheSetting(given(embedder, embeddings));
    try {
      await fillCache(setting, embedder, entries, asked);
      const ours = async () => {
        const times: number[] = [];
        for (const { text } of asked) {
          const started = performance.now();
          await setting.cache.find(questionFor(text), CONTROLS);
          times.push(performance.now() - started);
        }
        return { times, scores: [] as readonly number[] };
      };
      const theirs = async () => {
        const { lookups, scores } = await askGptCache({ entries, asked, pairs });
        return { times: lookups, scores };
      };
      const sides = [
        { name: 'Polylora', measure: ours },
        { name: 'GPTCache', measure: theirs },
      ] as const;
      const [own, other] = await alternate(sides, rounds, () => {});
      const medians = [own, other].map((results) => results.map(({ times }) => percentile(times, 0.5)));
      const p99 = [own, other].map((results) =>
        percentile(
          results.flatMap(({ times }) => times),
          0.99,
        ),
      );
      const ratio = ratioSpread(medians[0]!, medians[1]!);
      const answered = answeredAtMost(other[0]!.scores);
      return {
        value: ratio.median,
        details: [
          `Polylora: p50 ${percentile(medians[0]!, 0.5).toFixed(2)} ms, p99 ${p99[0]!.toFixed(2)} ms, with verification`,
          `GPTCache (SQLite, Faiss, its default evaluation): p50 ${percentile(medians[1]!, 0.5).toFixed(2)} ms, p99 ${p99[1]!.toFixed(2)} ms`,
          `ratio ${formatSpread(ratio, 3)}`,
          `labelled pairs, paraphrases answered while at most ${100 * MOST_FALSE} % of the near-misses are: GPTCache ${(100 * answered).toFixed(1)} % at the best of all thresholds; Polylora: the figure cache-quality`,
        ],
      };
    } finally {
      await setting.close();
      await embedder.close();
    }
  },
};

/** An embedder of texts whose embeddings are known. */
function given(embedder: Embedder, embeddings: ReadonlyMap<string, Embedding>): Embedder {
  return {
    get model() {
      return embedder.model;
    },
    load: () => embedder.load(),
    embed: async ({ inputs }) => inputs.map((input) => embeddings.get(String(input))!),
    stats: () => embedder.stats(),
    close: () => embedder.close(),
  };
}

/** The largest share of paraphrases over all thresholds that few enough near-misses pass. */
function answeredAtMost(scores: readonly number[]): number {
  const of = (sameAnswer: boolean) => scores.filter((_, i) => LABELLED_PAIRS[i]!.sameAnswer === sameAnswer);
  const [paraphrases, nearMisses] = [of(true), of(false)];
  let best = 0;
  for (const threshold of scores) {
    const passing = (list: readonly number[]) =>
      list.filter((score) => score >= threshold).length / list.length;
    if (passing(nearMisses) <= MOST_FALSE) best = Math.max(best, passing(paraphrases));
  }
  return best;
}
