import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CacheStore, openCacheStore } from '../../../test/support/cache-store.ts';
import { UNLIMITED } from '../admission/admission.ts';
import type { Backend, BackendEvent, BackendModel, BackendRequest } from '../backends/backend.ts';
import { StartingBackend } from '../backends/starting.ts';
import { WrappedBackend } from '../backends/wrapped.ts';
import { InFlight } from '../in-flight.ts';
import { Metrics } from '../metrics.ts';
import { AnswerCache } from './answer-cache.ts';
import { type CachedAnswer, CachedGeneration } from './cached-generation.ts';
import { CategoryTable } from './categories/category-table.ts';
import { readControls } from './controls.ts';
import { QuestionEmbedder } from './question-embedder.ts';
import { ModelJudge } from './verification/model-judge.ts';

const MODEL = {
  ...{ id: 'base', parent: null, root: 'root', created: 0, maxModelLen: 100, vocabSize: 10 },
  ...{ mixture: null, fingerprint: 'fp', task: 'generate' },
} as const satisfies BackendModel;

/** Answers with how many requests it was asked before, when it is let. */
class CountingBackend extends WrappedBackend {
  asked = 0;
  /** Nothing is said before this. */
  gate: Promise<void> = Promise.resolve();

  override get ready(): boolean {
    return true;
  }

  override async *generate(): AsyncGenerator<BackendEvent> {
    this.asked += 1;
    const text = `answer ${this.asked}`;
    await this.gate;
    yield { type: 'start', promptTokens: 3, promptText: null };
    yield { type: 'delta', text, tokens: 2, logprobs: null };
    const usage = { promptTokens: 3, completionTokens: 2, cachedPromptTokens: 0 };
    yield { type: 'finish', reason: 'stop', stopReason: null, usage, queuedSeconds: 0 };
  }
}

let store: CacheStore;
let backend: CountingBackend;
let cache: AnswerCache;
let generation: CachedGeneration;
let metrics: Metrics;
let now: number;
/** Whether whoever asks may go on doing so. */
let isWelcome: boolean;

beforeEach(async () => {
  store = await openCacheStore();
  isWelcome = true;
  backend = new CountingBackend(new StartingBackend());
  metrics = new Metrics(new Registry());
  now = 1_000_000;
  ({ cache, generation } = open());
});

afterEach(() => store.close());

function open(embedder: QuestionEmbedder | null = null) {
  const logger = pino({ level: 'silent' });
  const { documents } = store;
  const categories = new CategoryTable({ stale: { ttlSeconds: 1, staleSeconds: 100, adaptive: null } });
  const answers = new AnswerCache({
    ...{ categories, documents, embedder, verifier: null, exactBytes: 1 << 20, logger },
    judge: new ModelJudge(() => backend as Backend),
    metrics: metrics.cache,
    now: () => now,
  });
  const made = new CachedGeneration({
    ...{ cache: answers, server: 'test', metrics: metrics.cache, logger },
    onSimilar: () => {},
    onSent: () => () => {},
  });
  return { cache: answers, generation: made };
}

let requests = 0;

async function ask(content: string, cacheFields: object = {}): Promise<{ state: string; text: string }> {
  requests += 1;
  const request: BackendRequest = {
    id: `request-${requests}`,
    prompt: { kind: 'chat', messages: [{ role: 'user', content }] },
    sampling: {
      ...{ temperature: 0, topP: 1, topK: 0, minP: 0, presencePenalty: 0, frequencyPenalty: 0 },
      ...{
        repetitionPenalty: 1,
        logitBias: [],
        seed: 0,
        maxTokens: 8,
        minTokens: 0,
        stop: [],
        stopTokenIds: [],
      },
      ...{ includeStop: false, ignoreEos: false, logprobs: null, promptLogprobs: null, constraint: null },
    },
    scheduling: {
      ...{ tenant: 'acme', weight: 1, priority: 'normal', cacheSalt: null, category: null },
      timeoutSeconds: null,
    },
    echo: false,
  };
  const answer: CachedAnswer = await generation.answer({
    generation: {
      ...{ backend, model: MODEL, requests: [request], metrics, promptParam: 'messages' },
      reserve: () => UNLIMITED,
      inFlight: new InFlight({ running: 10, queued: 0 }),
      client: { hasLeft: false, onLeave: () => () => {} },
    },
    controls: readControls({ cache: cacheFields }, () => undefined),
    isSeeded: false,
    isStreamed: true,
    isStillWelcome: async () => isWelcome,
  });
  let text = '';
  for await (const { event } of answer.generation.events) if (event.type === 'delta') text += event.text;
  return { state: answer.headers['x-polylora-cache'] ?? '', text };
}

describe('a stale answer', () => {
  it('is given to all who ask while a new one is made, which nobody waits for', async () => {
    const stale = { category: 'stale' };
    await ask('q', stale);
    now += 2_000;
    let open = () => {};
    backend.gate = new Promise((resolve) => {
      open = resolve;
    });
    for (let i = 0; i < 3; i++) {
      const { state, text } = await ask('q', stale);
      expect([state.startsWith('hit; level=exact'), state.endsWith('; stale'), text]).toEqual([
        true,
        true,
        'answer 1',
      ]);
    }
    expect(backend.asked).toBe(2);
    open();
    await expect.poll(async () => (await ask('q', stale)).text).toBe('answer 2');
    expect(cache.size).toBe(1);
  });
});

describe('who asks the same at the same time', () => {
  it('shares what is made, which is counted as saved', async () => {
    const answers = await Promise.all([ask('q'), ask('q'), ask('q')]);
    expect(answers.map(({ state }) => state.split('; category')[0])).toEqual([
      'miss',
      'hit; level=shared',
      'hit; level=shared',
    ]);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(cache.economics.of('general', 'acme')).toMatchObject({
      ...{ sharedHits: 2, misses: 1, promptTokensSaved: 6, completionTokensSaved: 4 },
    });
  });

  it('does not share what it would not take: another age, similarity or category, or nothing that is made', async () => {
    const answers = await Promise.all([
      ask('q'),
      ask('q', { 'max-age': 0 }),
      ask('q', { 'similarity-threshold': 1 }),
      ask('q', { category: 'code' }),
      ask('q', { 'only-if-cached': true }).catch(({ code }) => ({ state: code })),
    ]);
    expect(answers.map(({ state }) => state.split(';')[0])).toEqual([
      ...['miss', 'miss', 'miss', 'miss', 'not_cached'],
    ]);
  });
});

it('what is made for somebody who is not welcome any more is not kept', async () => {
  let open = () => {};
  backend.gate = new Promise((resolve) => {
    open = resolve;
  });
  const asked = ask('q');
  await expect.poll(() => backend.asked).toBe(1);
  isWelcome = false;
  open();
  expect((await asked).text).toBe('answer 1');
  await expect.poll(async () => [cache.size, await store.ids()], { timeout: 5_000 }).toEqual([0, []]);
});

it('nothing is kept as long as nobody can tell its category', async () => {
  const embedding = { vector: new Float32Array(4), tokenIds: [1], tokenStates: null };
  const embedder = {
    model: { width: 4, maxTokens: 100, vocabSize: 10, digest: 'd' },
    embed: async () => [embedding],
  };
  const logger = pino({ level: 'silent' });
  ({ cache, generation } = open(
    new QuestionEmbedder({ embedder: embedder as never, mostMilliseconds: 100, logger }),
  ));
  expect((await ask('What are the symptoms of appendicitis?')).state).toBe('bypass; reason=unclassified');
  expect(cache.size).toBe(0);
  expect((await ask('q', { category: 'code' })).state).toBe('miss; category=code');
});
