import type { StreamedCompletion } from './completion-stream.ts';

/** What clients saw of a server under load. */
export interface Rates {
  /** New tokens of all requests over the whole time, prompts included. */
  readonly tokensPerSecond: number;
  /** Milliseconds from request to first token, mean over the requests. */
  readonly firstTokenMs: number;
  /** Milliseconds from one token of a request to its next, mean over the requests. */
  readonly nextTokenMs: number;
}

/** @param completions of one load, at least one */
export function measureRates(completions: readonly StreamedCompletion[]): Rates {
  const started = Math.min(...completions.map((done) => done.startedAt));
  const ended = Math.max(...completions.map((done) => done.endedAt));
  const tokens = completions.reduce((sum, done) => sum + done.completionTokens, 0);
  const gaps = completions.map(
    ({ firstTokenAt, endedAt, completionTokens }) =>
      (endedAt - firstTokenAt) / Math.max(1, completionTokens - 1),
  );
  return {
    tokensPerSecond: (tokens / (ended - started)) * 1000,
    firstTokenMs: mean(completions.map((done) => done.firstTokenAt - done.startedAt)),
    nextTokenMs: mean(gaps),
  };
}

/**
 * Tokens per second of simultaneous streams, but each stream's first, from the moment that the last stream had its
 * first.
 */
export function whileAllDecode(completions: readonly StreamedCompletion[]): number {
  const allDecoding = Math.max(...completions.map((done) => done.firstTokenAt));
  const ended = Math.max(...completions.map((done) => done.endedAt));
  // While the last prompts are read, the streams before them already decode: their tokens are counted by time.
  const decoded = completions.reduce((sum, done) => {
    const share = (done.endedAt - allDecoding) / (done.endedAt - done.firstTokenAt);
    return sum + (done.completionTokens - 1) * Math.max(0, share);
  }, 0);
  return (decoded / (ended - allDecoding)) * 1000;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
