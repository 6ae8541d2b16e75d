import { ANSWER, CONTROLS, openCacheSetting, questionFor } from '../cache/cache-setting.ts';
import { startEmbedder } from '../cache/question-vectors.ts';
import { percentile } from '../statistics.ts';
import type { Figure } from './figure.ts';

const QUESTIONS = 2_000;
const ROUNDS = 5;

export const cacheExact: Figure = {
  name: 'cache-exact',
  description:
    'ms that the answer to an equal question takes to be found, what identifies it included, median',
  must: '<=',
  bound: 0.2,
  async measure({ rounds = ROUNDS }) {
    const embedder = await startEmbedder(1);
    const setting = await openCacheSetting(embedder);
    try {
      const texts = Array.from(
        { length: QUESTIONS },
        (_, i) => `Where is the parcel with the number ${i * 7919}?`,
      );
      const category = setting.categories.get('general');
      const miss = { category, embedding: null };
      // Together: the store collects what it writes.
      await Promise.all(
        texts.map((text) => setting.cache.keep(questionFor(text), CONTROLS, miss, ANSWER, 1)),
      );
      const times: number[] = [];
      for (let round = 0; round <= rounds; round++) {
        for (const text of texts) {
          const started = performance.now();
          const found = await setting.cache.find(questionFor(text), CONTROLS);
          if (round > 0) times.push(performance.now() - started);
          if (found.kind !== 'hit') throw new Error(`not found: ${text}`);
        }
      }
      const at = (share: number) => percentile(times, share);
      return {
        value: at(0.5),
        details: [`p50 ${at(0.5).toFixed(4)} ms, p99 ${at(0.99).toFixed(4)} ms, ${times.length} times`],
      };
    } finally {
      await setting.close();
      await embedder.close();
    }
  },
};
