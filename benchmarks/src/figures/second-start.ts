import { setTimeout as sleep } from 'node:timers/promises';
import { streamCompletion } from '../http/completion-stream.ts';
import { launch } from '../http/server-process.ts';
import { formatSpread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const STARTS = 5;
const RETRY_MS = 20;
const KEY = 'operator-key-of-the-benchmarks';
/** For the start that is not measured, which may build, download and quantize. */
const FIRST_START_MS = 1_800_000;

export const secondStart: Figure = {
  name: 'second-start',
  description: 'most seconds from `npm start` to the first token, when everything is built and cached',
  must: '<',
  bound: 5,
  async measure({ rounds = STARTS }) {
    await secondsToFirstToken();
    const seconds: number[] = [];
    for (let start = 0; start < rounds; start++) seconds.push(await secondsToFirstToken());
    const result = spread(seconds);
    return { value: result.most, details: [`${formatSpread(result, 2)} s in ${rounds} starts`] };
  },
};

async function secondsToFirstToken(): Promise<number> {
  const started = performance.now();
  const gateway = await launch('npm', ['start', '--', '--log-level', 'silent'], {
    env: { POLYLORA_OPERATOR_KEY: KEY },
  });
  try {
    while (gateway.child.exitCode === null && performance.now() - started < FIRST_START_MS) {
      const done = await streamCompletion(
        gateway.url,
        { model: 'base', prompt: 'Hello', max_tokens: 1 },
        { apiKey: KEY },
      ).catch(() => null);
      if (done !== null) return (done.firstTokenAt - started) / 1000;
      await sleep(RETRY_MS);
    }
    throw new Error('`npm start` ended or served no token');
  } finally {
    await gateway.stop();
  }
}
