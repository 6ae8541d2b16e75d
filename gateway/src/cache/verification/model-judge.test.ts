/** Questions of which the base model is asked whether they ask for the same. */
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CacheStore, openCacheStore } from '../../../../test/support/cache-store.ts';
import { GREEDY } from '../../../../test/support/sampling.ts';
import type { BackendEvent, BackendModel, BackendRequest } from '../../backends/backend.ts';
import { StartingBackend } from '../../backends/starting.ts';
import { WrappedBackend } from '../../backends/wrapped.ts';
import type { Cancellation } from '../../cancellation.ts';
import { AnswerCache } from '../answer-cache.ts';
import type { CacheMetrics } from '../cache-metrics.ts';
import { CategoryTable } from '../categories/category-table.ts';
import { Classifier } from '../categories/classifier.ts';
import { readControls } from '../controls.ts';
import type { StoredAnswer } from '../entry.ts';
import { type Question, questionOf } from '../question.ts';
import { QuestionEmbedder } from '../question-embedder.ts';
import { VectorIndex } from '../vector-index/vector-index.ts';
import { ModelJudge } from './model-judge.ts';

const MODEL = {
  ...{ id: 'base', parent: null, root: 'root', created: 0, maxModelLen: 100, vocabSize: 10 },
  ...{ mixture: null, fingerprint: 'fp', task: 'generate' },
} as const satisfies BackendModel;

/** Says what it is to say, or nothing until it is cancelled. */
class SayingBackend extends WrappedBackend {
  readonly asked: BackendRequest[] = [];
  says: 'yes' | 'no' | null = 'yes';

  override get ready(): boolean {
    return true;
  }

  override get base(): BackendModel {
    return MODEL;
  }

  override async *generate(
    _: BackendModel,
    request: BackendRequest,
    cancellation: Cancellation,
  ): AsyncGenerator<BackendEvent> {
    this.asked.push(request);
    if (this.says === null) {
      await new Promise<void>((resolve) => cancellation.onCancel(() => resolve()));
    } else {
      yield { type: 'delta', text: this.says, tokens: 1, logprobs: null };
    }
  }
}

/** Questions with the vectors that they have here. */
const VECTORS: Readonly<Record<string, readonly number[]>> = {
  plain: [1, 0],
  'plain again': [0.995, 0.1],
  'plain once more': [0.995, -0.1],
  judged: [0.8, 0.6],
  'something else': [-1, 0],
};

const ANSWER: StoredAnswer = {
  choices: [
    {
      ...{ text: 'Yes.', toolCalls: [], reason: 'stop', stopReason: null },
      usage: { promptTokens: 3, completionTokens: 2, cachedPromptTokens: 0 },
    },
  ],
};
const METRICS: CacheMetrics = {
  looked: () => {},
  embedded: () => {},
  verified: () => {},
  removed: () => {},
  reported: () => {},
};

let store: CacheStore;
let backend: SayingBackend;
let cache: AnswerCache;

beforeEach(async () => {
  store = await openCacheStore();
  backend = new SayingBackend(new StartingBackend());
  const logger = pino({ level: 'silent' });
  const near = { similarityThreshold: 0.5, strictness: 0, adaptive: null };
  const categories = new CategoryTable({
    plain: { ...near, examples: ['plain'] },
    judged: { ...near, examples: ['judged'], askModel: true },
  });
  const known = [...categories.all()].map(({ name, examples }) => ({
    ...{ name, examples },
    vectors: [vectorOf(name in VECTORS ? name : 'something else')],
  }));
  categories.setClassifier(new Classifier(known));
  const embedder = {
    model: { width: 2, maxTokens: 100, vocabSize: 10, digest: 'd' },
    embed: async ({ inputs: [text] }: { inputs: readonly [string] }) => [
      { vector: vectorOf(text), tokenIds: [1], tokenStates: null, signature: null },
    ],
  };
  cache = new AnswerCache({
    ...{ categories, verifier: null, exactBytes: 1 << 20, metrics: METRICS, logger },
    documents: store.documents,
    embedder: new QuestionEmbedder({ embedder: embedder as never, mostMilliseconds: 1_000, logger }),
    judge: new ModelJudge(() => backend),
    now: () => 1_000_000,
  });
  const index = new VectorIndex({
    width: 2,
    schedule: (work) => void setImmediate(work),
    onWarning: () => {},
  });
  cache.kept.setVectors({ index, encoder: 'd' });
});

afterEach(() => store.close());

function vectorOf(text: string): Float32Array {
  return new Float32Array(VECTORS[text]!);
}

const CONTROLS = readControls({}, () => undefined);

function question(text: string, tenant = 'acme', cacheSalt: string | null = null): Question {
  const request: BackendRequest = {
    ...{ id: 'r', sampling: GREEDY, echo: false },
    prompt: { kind: 'chat', messages: [{ role: 'user', content: text }] },
    scheduling: {
      ...{ tenant, weight: 3, priority: 'normal', cacheSalt, category: null, timeoutSeconds: null },
    },
  };
  const asked = questionOf({ tenant, server: 'test', model: MODEL, requests: [request], isSeeded: false });
  if (asked === null) throw new Error('a question that is not kept');
  return asked;
}

async function keep(asked: Question): Promise<void> {
  const miss = await cache.embedded(asked, CONTROLS);
  if (miss.kind !== 'miss') throw new Error(`a question that is a ${miss.kind}`);
  await cache.keep(asked, CONTROLS, miss, ANSWER, 1);
}

test.each([
  ['judged', 'plain'],
  ['plain', 'judged'],
])('is asked where the category of the question is %s and that of the entry %s', async (asked, kept) => {
  await keep(question(kept));
  backend.says = 'no';
  expect((await cache.find(question(asked), CONTROLS)).kind).toBe('miss');
  expect(backend.asked).toHaveLength(1);
  backend.says = 'yes';
  expect(await cache.find(question(asked), CONTROLS)).toMatchObject({ kind: 'hit', level: 'similar' });
});

test('is asked by whom the question is from, so that nobody else finds its prefix', async () => {
  for (const salt of [null, 'user 1']) {
    await keep(question('plain', 'globex', salt));
    await cache.find(question('judged', 'globex', salt), CONTROLS);
    expect(backend.asked.pop()?.scheduling).toMatchObject({
      ...{ tenant: 'globex', weight: 3, cacheSalt: salt, priority: 'batch' },
    });
  }
});

test('is not waited for longer where several entries are near', async () => {
  for (const text of ['plain', 'plain again', 'plain once more']) await keep(question(text));
  backend.says = null;
  const started = performance.now();
  expect((await cache.find(question('judged'), CONTROLS)).kind).toBe('miss');
  expect(performance.now() - started).toBeLessThan(3_000);
  expect(backend.asked).toHaveLength(1);
});
