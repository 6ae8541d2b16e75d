import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type StreamedCompletion, streamCompletion } from './completion-stream.ts';
import { startGateway } from './gateway-process.ts';
import { writeRandomAdapter } from './random-adapter.ts';
import { type Spread, spread } from './statistics.ts';

const STREAMS = 16;
const RANK = 16;
/** Ordinary text tokens of the default model: past the control tokens and the single bytes. */
const FIRST_TOKEN = 1_000;
const LAST_TOKEN = 40_000;

/** How long a stream's prompt and answer are, in tokens. */
export interface Workload {
  readonly promptTokens: number;
  readonly newTokens: number;
}

/** A short question with an answer of a paragraph or two: nearly all time goes into decoding. */
export const CHAT: Workload = { promptTokens: 32, newTokens: 256 };
/** A prompt longer than its answer: most time goes into reading prompts. */
export const PROMPT_HEAVY: Workload = { promptTokens: 128, newTokens: 48 };

/** What some rounds of simultaneous streams gave. */
export interface Throughput {
  /** New tokens of all streams over the whole time, prompts included. */
  readonly tokensPerSecond: Spread;
  /** New tokens but each stream's first, from the moment that the last stream had its first. */
  readonly decodeTokensPerSecond: Spread;
  /** Milliseconds from request to first token, mean over the streams. */
  readonly firstTokenMs: Spread;
}

export interface ThroughputReport extends Workload {
  readonly streams: number;
  readonly rank: number;
  readonly rounds: number;
  readonly adapters: Throughput;
  readonly base: Throughput;
  /** Adapters' tokens per second over the base model's in the round beside it. */
  readonly ratio: Spread;
}

/**
 * Sixteen streams over HTTP, each on an adapter of its own (rank 16, all seven projections), against sixteen on
 * the base model; rounds of both alternate, after one of each that does not count.
 */
export async function measureThroughput(
  workload: Workload,
  rounds: number,
  flags: readonly string[],
): Promise<ThroughputReport> {
  const folder = mkdtempSync(join(tmpdir(), 'polylora-bench-'));
  const names = Array.from({ length: STREAMS }, (_, index) => `random-${index}`);
  try {
    for (const [index, name] of names.entries()) writeRandomAdapter(join(folder, name), RANK, index + 1);
    const gateway = await startGateway(['--adapters', folder, ...flags]);
    try {
      return await alternate(gateway.url, names, workload, rounds);
    } finally {
      await gateway.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function alternate(
  url: string,
  names: readonly string[],
  workload: Workload,
  rounds: number,
): Promise<ThroughputReport> {
  const bases = names.map(() => 'base');
  let seed = 1;
  const adapters: Round[] = [];
  const base: Round[] = [];
  for (let round = 0; round <= rounds; round++) {
    const pair = {
      adapters: await runRound(url, names, workload, seed++),
      base: await runRound(url, bases, workload, seed++),
    };
    if (round === 0) continue;
    adapters.push(pair.adapters);
    base.push(pair.base);
    console.error(
      `round ${round} of ${rounds}: ${pair.adapters.tokensPerSecond.toFixed(0)} tok/s on ${STREAMS} adapters, ` +
        `${pair.base.tokensPerSecond.toFixed(0)} tok/s on the base model`,
    );
  }
  const ratios = adapters.map(
    (round, index) => round.tokensPerSecond / (base[index]?.tokensPerSecond ?? Number.NaN),
  );
  return {
    streams: STREAMS,
    rank: RANK,
    ...workload,
    rounds,
    adapters: summarize(adapters),
    base: summarize(base),
    ratio: spread(ratios),
  };
}

interface Round {
  readonly tokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  readonly firstTokenMs: number;
}

/** One stream for each model name, all at once. Prompts never repeat, so that no prefix is cached. */
async function runRound(
  url: string,
  models: readonly string[],
  { promptTokens, newTokens }: Workload,
  seed: number,
): Promise<Round> {
  const completions = await Promise.all(
    models.map((model, index) =>
      streamCompletion(url, {
        model,
        prompt: randomPrompt(promptTokens, seed * models.length + index),
        max_tokens: newTokens,
        ignore_eos: true,
        temperature: 0,
      }),
    ),
  );
  const wrong = completions.find(
    (done) => done.promptTokens !== promptTokens || done.completionTokens !== newTokens,
  );
  if (wrong !== undefined) {
    throw new Error(
      `a stream had ${wrong.promptTokens} prompt tokens and ${wrong.completionTokens} new ones`,
    );
  }
  return rates(completions);
}

function rates(completions: readonly StreamedCompletion[]): Round {
  const started = Math.min(...completions.map((done) => done.startedAt));
  const allDecoding = Math.max(...completions.map((done) => done.firstTokenAt));
  const ended = Math.max(...completions.map((done) => done.endedAt));
  const tokens = completions.reduce((sum, done) => sum + done.completionTokens, 0);
  // While the last prompts are read, the streams before them already decode: their tokens are counted by time.
  const decoded = completions.reduce((sum, done) => {
    const share = (done.endedAt - allDecoding) / (done.endedAt - done.firstTokenAt);
    return sum + (done.completionTokens - 1) * Math.max(0, share);
  }, 0);
  const waits = completions.map((done) => done.firstTokenAt - done.startedAt);
  return {
    tokensPerSecond: (tokens / (ended - started)) * 1000,
    decodeTokensPerSecond: (decoded / (ended - allDecoding)) * 1000,
    firstTokenMs: waits.reduce((sum, wait) => sum + wait, 0) / waits.length,
  };
}

function summarize(rounds: readonly Round[]): Throughput {
  return {
    tokensPerSecond: spread(rounds.map((round) => round.tokensPerSecond)),
    decodeTokensPerSecond: spread(rounds.map((round) => round.decodeTokensPerSecond)),
    firstTokenMs: spread(rounds.map((round) => round.firstTokenMs)),
  };
}

function randomPrompt(length: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length }, () => {
    // A linear congruential generator (Numerical Recipes) is random enough to make prompts differ.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return FIRST_TOKEN + (state % (LAST_TOKEN - FIRST_TOKEN));
  });
}
