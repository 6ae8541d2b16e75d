import { VectorIndex } from '../../../gateway/dist/cache/vector-index/vector-index.js';
import { cachedQuestions, type EmbeddedText } from '../cache/question-vectors.ts';
import { percentile, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ENTRIES = 100_000;
const ENTRIES_QUICKLY = 10_000;
const PARTITION = 'all';
const FOREVER = { expiresAt: Number.POSITIVE_INFINITY, tag: 0 };
/** Of the index's own order, how many are compared again by their float32 vectors. */
const CANDIDATES = 50;

export const cacheRecall: Figure = {
  name: 'cache-recall',
  description: `share of questions for which the semantic cache's index finds one of ${ENTRIES} entries as similar as comparing with all of them does: the lesser of paraphrases of entries and of questions that are not there`,
  must: '>=',
  bound: 0.98,
  async measure({ quick = false }) {
    const { entries, paraphrases, others } = await cachedQuestions(quick ? ENTRIES_QUICKLY : ENTRIES);
    const exact = fill(entries, Number.POSITIVE_INFINITY);
    const graph = fill(entries);
    const sides = [
      { name: 'paraphrases', recall: compare(paraphrases, graph.index, exact.index, entries) },
      { name: 'others', recall: compare(others, graph.index, exact.index, entries) },
    ];
    return {
      value: Math.min(...sides.map(({ recall }) => recall.share)),
      details: [
        ...sides.map(({ name, recall }) => `${name}: ${describe(recall)}`),
        `adding ${entries.length} entries: ${graph.seconds.toFixed(1)} s, in slices of which 99 % took no longer than ${percentile(graph.slices, 0.99).toFixed(1)} ms`,
        `memory: ${(graph.index.bytes / 2 ** 20).toFixed(0)} MiB; without a graph ${(exact.index.bytes / 2 ** 20).toFixed(0)} MiB`,
        `${entries.length} different questions made by combining words, embedded by the default model`,
      ],
    };
  },
};

interface Recall {
  /** That were found as similar as possible. */
  readonly share: number;
  /** The same by what the embedding model gave, before it is kept in eight bits. */
  readonly floatShare: number;
  readonly graphMilliseconds: readonly number[];
  readonly exactMilliseconds: readonly number[];
  readonly similarities: readonly number[];
}

function fill(entries: readonly EmbeddedText[], graphFrom?: number) {
  const waiting: (() => void)[] = [];
  const index = new VectorIndex({
    width: entries[0]!.vector.length,
    schedule: (work) => void waiting.push(work),
    onWarning: (message) => {
      throw new Error(message);
    },
    ...(graphFrom !== undefined && { graphFrom }),
  });
  const started = performance.now();
  for (const [number, { vector }] of entries.entries()) index.add(PARTITION, `${number}`, vector, FOREVER);
  const slices: number[] = [];
  for (let work = waiting.shift(); work !== undefined; work = waiting.shift()) {
    timed(slices, work);
  }
  return { index, slices, seconds: (performance.now() - started) / 1000 };
}

function compare(
  asked: readonly EmbeddedText[],
  graph: VectorIndex,
  exact: VectorIndex,
  entries: readonly EmbeddedText[],
): Recall {
  const graphMilliseconds: number[] = [];
  const exactMilliseconds: number[] = [];
  const similarities: number[] = [];
  let [found, foundByFloats] = [0, 0];
  // Before anything else is: comparing with all takes the caches.
  const answers = asked.map(({ vector }) =>
    timed(graphMilliseconds, () => graph.search(PARTITION, vector, query(1))),
  );
  for (const [index, { vector }] of asked.entries()) {
    const best = answers[index]![0];
    timed(exactMilliseconds, () => exact.search(PARTITION, vector, query(1)));
    const candidates = exact.search(PARTITION, vector, query(CANDIDATES));
    const truth = candidates[0]!;
    similarities.push(truth.similarity);
    if (best?.similarity === truth.similarity) found += 1;
    const cosine = ({ id }: { readonly id: string }) => product(vector, entries[Number(id)]!.vector);
    const nearest = Math.max(...candidates.map(cosine));
    if (best !== undefined && cosine(best) === nearest) foundByFloats += 1;
  }
  return {
    share: found / asked.length,
    floatShare: foundByFloats / asked.length,
    graphMilliseconds,
    exactMilliseconds,
    similarities,
  };
}

/** The most similar, however little. */
function query(k: number) {
  return { threshold: -1, k, now: 0 };
}

function timed<T>(times: number[], work: () => T): T {
  const started = performance.now();
  const result = work();
  times.push(performance.now() - started);
  return result;
}

function product(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + value * b[index]!, 0);
}

function describe({ share, floatShare, graphMilliseconds, exactMilliseconds, similarities }: Recall): string {
  const { median } = spread(graphMilliseconds);
  return `${share.toFixed(3)} (${floatShare.toFixed(3)} by the float32 vectors); a search ${median.toFixed(3)} ms, 95 % within ${percentile(graphMilliseconds, 0.95).toFixed(3)} ms, comparing with all ${spread(exactMilliseconds).median.toFixed(2)} ms; the best has a similarity of ${spread(similarities).median.toFixed(3)}`;
}
