import {
  createEngine,
  type Engine,
  type EngineProcessOptions,
  type SchedulingParams,
} from '@polylora/engine';
import { GREEDY } from './greedy.ts';
import { randomPrompt } from './http/token-prompt.ts';
import { modelHome } from './paths.ts';

/** Who benchmarks are, where it does not matter. */
export const ONE_TENANT: SchedulingParams = {
  tenant: 'bench',
  weight: 1,
  priority: 'normal',
  cacheSalt: null,
  category: null,
  timeoutSeconds: null,
};

/** The gateway's own settings, without what spares work: the prefix cache and drafts. */
export function engineOptions(model: string, threads: number): EngineProcessOptions {
  return {
    model,
    home: modelHome(),
    hubToken: null,
    weights: 'int8',
    loraDtype: 'f16',
    kvCacheDtype: 'f16',
    threads,
    maxModelLen: null,
    poolBytes: null,
    maxBatchTokens: 512,
    maxRunning: 64,
    maxBatchAdapters: null,
    // What is measured is a token's price, and the answers to random prompts repeat themselves.
    speculation: 'off',
    tpotTargetMs: null,
    adapterPoolShare: null,
    // Prompts are to be read.
    prefixCache: 'off',
  };
}

/** Starts an engine in this process: nothing of HTTP or IPC is measured. */
export function startLocalEngine(model: string, threads: number): Promise<Engine> {
  return createEngine(engineOptions(model, threads));
}

/** One request's time in the engine. */
export interface StreamTimes {
  /** From the request to its first token, in milliseconds. */
  readonly promptMs: number;
  /** From its first token to its last. */
  readonly decodeMs: number;
}

/**
 * Runs one request on an idle engine, on the base model.
 * @throws Error when it does not give exactly `newTokens`.
 */
export async function timeStream(
  engine: Engine,
  promptTokens: number,
  newTokens: number,
  seed: number,
): Promise<StreamTimes> {
  const prompt = { kind: 'tokens', ids: randomPrompt(promptTokens, seed) } as const;
  const sampling = { ...GREEDY, maxTokens: newTokens };
  const startedAt = performance.now();
  let firstTokenAt = Number.NaN;
  let tokens = 0;
  const request = { id: `stream-${seed}`, prompt, adapter: null, sampling, scheduling: ONE_TENANT };
  for await (const event of engine.generate(request)) {
    if (event.type === 'error') throw new Error(event.message);
    if (event.type !== 'delta') continue;
    if (tokens === 0) firstTokenAt = performance.now();
    tokens += event.tokenIds.length;
  }
  if (tokens !== newTokens)
    throw new Error(`the engine gave ${tokens} tokens where ${newTokens} were asked for`);
  return { promptMs: firstTokenAt - startedAt, decodeMs: performance.now() - firstTokenAt };
}
