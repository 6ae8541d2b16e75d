import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine } from '@polylora/engine';
import { GREEDY } from './greedy.ts';
import { randomPrompt } from './http/token-prompt.ts';
import { ONE_TENANT } from './local-engine.ts';

/** A request to an engine in this process: a greedy answer of exactly so many tokens. */
export interface EngineRequest {
  readonly prompt: readonly number[];
  readonly newTokens: number;
  readonly adapter?: string | null;
  readonly tenant?: string;
}

/** When it came and when its tokens came; milliseconds on this process's clock. */
export interface TokenTimes {
  readonly startedAt: number;
  readonly tokensAt: readonly number[];
  readonly cachedPromptTokens: number;
}

let requests = 0;

/**
 * Runs a request to its end, or until the signal is aborted: then it tells of the tokens until then.
 * @throws Error when the engine refuses or fails.
 */
export async function runRequest(
  engine: Engine,
  { prompt, newTokens, adapter = null, tenant = ONE_TENANT.tenant }: EngineRequest,
  signal?: AbortSignal,
): Promise<TokenTimes> {
  const request = {
    id: `bench-${requests++}`,
    prompt: { kind: 'tokens', ids: prompt },
    adapter,
    sampling: { ...GREEDY, maxTokens: newTokens },
    scheduling: { ...ONE_TENANT, tenant },
  } as const;
  const startedAt = performance.now();
  const tokensAt: number[] = [];
  let cachedPromptTokens = 0;
  for await (const event of engine.generate(request, signal)) {
    if (event.type === 'error') throw new Error(event.message);
    if (event.type === 'finish') ({ cachedPromptTokens } = event.usage);
    if (event.type !== 'delta') continue;
    const now = performance.now();
    for (const _ of event.tokenIds) tokensAt.push(now);
  }
  return { startedAt, tokensAt, cachedPromptTokens };
}

/** Milliseconds to the first token; endless where none came. */
export function firstTokenMs({ startedAt, tokensAt }: TokenTimes): number {
  return (tokensAt[0] ?? Number.POSITIVE_INFINITY) - startedAt;
}

/** Requests of a tenant that come at given times, whether those before are answered or not. */
export interface ArrivingTenant {
  readonly tenant: string;
  /** Seconds from the beginning. */
  readonly arrivals: readonly number[];
  readonly promptTokens: number;
  readonly newTokens: number;
}

/** Sends a tenant's requests when they are due; what has not ended when the signal is aborted is given up. */
export async function runArrivals(
  engine: Engine,
  { tenant, arrivals, promptTokens, newTokens }: ArrivingTenant,
  seed: number,
  signal: AbortSignal,
): Promise<TokenTimes[]> {
  const beginning = performance.now();
  return Promise.all(
    arrivals.map(async (second, index) => {
      const until = Math.max(0, second * 1000 - (performance.now() - beginning));
      await sleep(until, undefined, { signal }).catch(() => {});
      if (signal.aborted) return { startedAt: performance.now(), tokensAt: [], cachedPromptTokens: 0 };
      const prompt = randomPrompt(promptTokens, seed * 100_003 + index);
      return runRequest(engine, { prompt, newTokens, tenant }, signal);
    }),
  );
}

/** Times of a Poisson process, the same for the same seed, in seconds. */
export function poissonArrivals(perSecond: number, seconds: number, seed: number): number[] {
  const arrivals: number[] = [];
  let state = seed >>> 0;
  for (let time = 0; ; ) {
    // A linear congruential generator (Numerical Recipes); its high bits are random enough for waiting times.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    time -= Math.log((state + 0.5) / 2 ** 32) / perSecond;
    if (time >= seconds) return arrivals;
    arrivals.push(time);
  }
}
