import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Random } from '../../../benchmarks/src/simulation/random.ts';
import { type CacheStore, openCacheStore } from '../../../test/support/cache-store.ts';
import { type Reservation, UNLIMITED } from '../admission/admission.ts';
import type { Asked } from '../admission/asked.ts';
import type { Backend, BackendEvent, BackendModel, BackendRequest } from '../backends/backend.ts';
import { StartingBackend } from '../backends/starting.ts';
import { WrappedBackend } from '../backends/wrapped.ts';
import { ApiError } from '../errors.ts';
import type { Client } from '../http/client.ts';
import { InFlight } from '../in-flight.ts';
import { Metrics } from '../metrics/metrics.ts';
import { RecentRequests } from '../requests/recent-requests.ts';
import type { RequestRecord } from '../requests/request-record.ts';
import type { Timeline } from '../requests/timeline.ts';
import { AnswerCache } from './answer-cache.ts';
import { type CachedAnswer, CachedGeneration, type GivenAnswer } from './cached-generation.ts';
import { CategoryTable } from './categories/category-table.ts';
import { readControls } from './controls.ts';
import { QuestionEmbedder } from './question-embedder.ts';
import { VectorIndex } from './vector-index/vector-index.ts';
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
  /** Says why it answers nothing. */
  failure: string | null = null;

  override get ready(): boolean {
    return true;
  }

  override async *generate(): AsyncGenerator<BackendEvent> {
    this.asked += 1;
    const text = `answer ${this.asked}`;
    await this.gate;
    if (this.failure !== null) {
      yield { type: 'error', code: 'engine_unavailable', message: this.failure, retryAfterSeconds: null };
      return;
    }
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
/** Requests of which the load controller was told. */
let sent: number;
/** Answers that were given again. */
let hits: GivenAnswer[];
/** Whether whoever asks may go on doing so. */
let isWelcome: boolean;

beforeEach(async () => {
  store = await openCacheStore();
  isWelcome = true;
  backend = new CountingBackend(new StartingBackend());
  metrics = new Metrics();
  now = 1_000_000;
  sent = 0;
  hits = [];
  ({ cache, generation } = open());
});

afterEach(() => store.close());

/** What is in the store, when something is. */
async function stored() {
  await expect.poll(() => store.ids()).not.toEqual([]);
  return store.documents.find({}, { limit: 100 });
}

function open(embedder: QuestionEmbedder | null = null) {
  const logger = pino({ level: 'silent' });
  const { documents } = store;
  const stale = { ttlSeconds: 1, staleSeconds: 100, adaptive: null };
  const categories = new CategoryTable({
    stale,
    'stale-alike': { ...stale, similarityThreshold: 0, strictness: 0 },
  });
  const answers = new AnswerCache({
    ...{ categories, documents, embedder, verifier: null, exactBytes: 1 << 20, logger },
    judge: new ModelJudge(() => backend as Backend),
    metrics: metrics.cache,
    now: () => now,
  });
  const made = new CachedGeneration({
    ...{ cache: answers, server: 'test', metrics: metrics.cache, logger },
    onSimilar: () => {},
    onHit: (given) => void hits.push(given),
    onSent: () => {
      sent += 1;
      return { begun: () => {}, ended: () => {}, failed: () => {} };
    },
  });
  return { cache: answers, generation: made };
}

let requests = 0;
const STAYS: Client = { hasLeft: false, onLeave: () => () => {} };

interface Asking {
  readonly reserve?: (asked: Asked) => Reservation | Promise<Reservation>;
  readonly client?: Client;
  readonly timeoutSeconds?: number;
  readonly priority?: BackendRequest['scheduling']['priority'];
  readonly record?: RequestRecord;
}

async function ask(
  content: string,
  cacheFields: object = {},
  {
    reserve = () => UNLIMITED,
    client = { ...STAYS },
    timeoutSeconds,
    priority = 'normal',
    record,
  }: Asking = {},
): Promise<{ state: string; text: string }> {
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
      ...{ tenant: 'acme', weight: 1, priority, cacheSalt: null, category: null },
      timeoutSeconds: timeoutSeconds ?? null,
    },
    echo: false,
  };
  const answer: CachedAnswer = await generation.answer({
    generation: {
      ...{ backend, model: MODEL, requests: [request], metrics, promptParam: 'messages' },
      ...{ reserve, client, record: record ?? null },
      inFlight: new InFlight({ running: 10, queued: 0 }),
    },
    controls: readControls({ cache: cacheFields }, () => undefined),
    isSeeded: false,
    isStreamed: true,
    requestId: `req_${requests}`,
    isStillWelcome: async () => isWelcome,
  });
  let text = '';
  for await (const { event } of answer.generation.events) if (event.type === 'delta') text += event.text;
  return { state: answer.headers['x-polylora-cache'] ?? '', text };
}

/** Has the backend wait. @returns what lets it go on */
function close(): () => void {
  let open = () => {};
  backend.gate = new Promise((resolve) => {
    open = resolve;
  });
  return open;
}

/** Embeds whatever it is asked for as the same, and tells how often it was asked. */
function embedding() {
  const embedded = { count: 0 };
  const embedder = {
    model: { width: 2, maxTokens: 100, vocabSize: 10, digest: 'd' },
    embed: async () => {
      embedded.count += 1;
      return [{ vector: new Float32Array([1, 0]), tokenIds: [1], tokenStates: null, signature: null }];
    },
  };
  const logger = pino({ level: 'silent' });
  ({ cache, generation } = open(
    new QuestionEmbedder({ embedder: embedder as never, mostMilliseconds: 1_000, logger }),
  ));
  const index = new VectorIndex({
    width: 2,
    schedule: (work) => void setImmediate(work),
    onWarning: () => {},
  });
  cache.kept.setVectors({ index, encoder: 'd' });
  return embedded;
}

it('tells of each answer that is given again, and of none that is made', async () => {
  await ask('Where is it?', { category: 'code' });
  expect(hits).toEqual([]);
  now += 5_000;
  await ask('Where is it?');
  const [kept] = await stored();
  expect(hits).toMatchObject([
    {
      ...{ requestId: `req_${requests}`, level: 'exact', entryId: kept?.id, category: 'code', ageSeconds: 5 },
      ...{ similarity: 1, probability: null, needed: { similarity: 1, strictness: 0 } },
      question: { tenant: 'acme', text: 'Where is it?' },
    },
  ]);
});

describe('a stale answer', () => {
  it('is given to all who ask while a new one is made, which nobody waits for', async () => {
    const stale = { category: 'stale' };
    await ask('q', stale);
    now += 2_000;
    const open = close();
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

  it('is made anew once, in however many words it is asked for, at the cost of nobody', async () => {
    embedding();
    const alike = { category: 'stale-alike', tags: ['first'] };
    await ask('q', alike);
    now += 2_000;
    const open = close();
    const tokens: number[] = [];
    const reserve = ({ completionTokens }: Asked) => {
      tokens.push(completionTokens);
      return UNLIMITED;
    };
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => ask(`q ${i}`, { category: 'stale-alike' }, { reserve })),
    );
    for (const { state } of answers) expect(state).toMatch(/^hit; level=similar; .*; stale$/);
    expect(backend.asked).toBe(2);
    open();
    await expect.poll(async () => (await ask('q', alike)).text).toBe('answer 2');
    // The new one has the tags of the old one, whoever's question it was made for.
    await expect.poll(async () => (await stored()).map(({ tags }) => tags)).toEqual([['first']]);
    expect(tokens).toEqual(Array.from({ length: 50 }, () => 0));
  });

  it('is not made anew with too many others', async () => {
    const stale = { category: 'stale' };
    for (let i = 0; i < 6; i++) await ask(`q ${i}`, stale);
    now += 2_000;
    const open = close();
    for (let i = 0; i < 6; i++) await ask(`q ${i}`, stale);
    expect(backend.asked).toBe(6 + 4);
    open();
    await expect.poll(async () => (await ask('q 0', stale)).state.endsWith('stale')).toBe(false);
    await ask('q 5', stale);
    expect(backend.asked).toBe(6 + 5);
  });

  it('is not given where its time was chosen for it', async () => {
    await ask('q', { category: 'stale', ttl: 0 });
    now += 500;
    expect((await ask('q', { category: 'stale' })).state).toBe('miss; category=stale');
  });

  it('stays where nothing comes of making it anew', async () => {
    const stale = { category: 'stale' };
    await ask('q', stale);
    now += 2_000;
    backend.failure = 'gone';
    expect((await ask('q', stale)).text).toBe('answer 1');
    await expect.poll(() => backend.asked).toBe(2);
    expect((await ask('q', stale)).text).toBe('answer 1');
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

  it('has the time with it counted to the cache, as has who finds it later', async () => {
    const requests = new RecentRequests();
    const arrival = { requestId: 'req_1', at: 1, method: 'POST', route: '/v1/chat/completions' };
    const timed = async () => {
      const record = requests.arrive({ ...arrival, arrived: performance.now() });
      await ask('q', {}, { record });
      requests.end(record);
      return record.timeline;
    };
    const [first, joined] = (await Promise.all([timed(), timed()])) as [Timeline, Timeline];
    const later = await timed();
    const names = (timeline: Timeline) => timeline.phases().map(({ name }) => name);
    expect(names(first).slice(0, 3)).toEqual(['admission', 'cache', 'prefill']);
    expect(first.finishReasons).toEqual(['stop']);
    expect([names(joined), names(later)]).toEqual([
      ['admission', 'cache'],
      ['admission', 'cache'],
    ]);
    expect(joined.phases().at(-1)?.until).toBe(joined.endedAt);
    expect([joined.sentAt, later.sentAt]).toEqual([null, null]);
  });

  it('can report it, by the id under which it is kept', async () => {
    const [, { state }] = (await Promise.all([ask('q'), ask('q')])) as [unknown, { state: string }];
    const [entry] = await stored();
    expect(state).toBe(`hit; level=shared; category=general; id=${entry?.id}`);
    const [, unkept] = await Promise.all([ask('r', { 'no-store': true }), ask('r', { 'no-store': true })]);
    expect(unkept.state).toBe('hit; level=shared; category=general');
  });

  it('does not all make it where the first may not: one of them is the next', async () => {
    const poor = () => {
      throw new ApiError('insufficient_quota', 'The budget of your key has no room.');
    };
    const isPoor = ({ completionTokens }: Asked) => (completionTokens > 0 ? poor() : UNLIMITED);
    const refused = Array.from({ length: 3 }, () =>
      ask('q', {}, { reserve: isPoor }).catch(({ code }) => code as string),
    );
    const answers = await Promise.all([...refused, ...Array.from({ length: 5 }, () => ask('q'))]);
    expect(answers.slice(0, 3)).toEqual(Array.from({ length: 3 }, () => 'insufficient_quota'));
    expect(answers.slice(3).map((answer) => (answer as { text: string }).text)).toEqual(
      Array.from({ length: 5 }, () => 'answer 1'),
    );
    expect(backend.asked).toBe(1);
  });

  it('is told of a failure that another has met, too', async () => {
    backend.failure = 'gone';
    const failures = await Promise.all(
      Array.from({ length: 10 }, () => ask('q').catch(({ code }) => code as string)),
    );
    expect(failures).toEqual(Array.from({ length: 10 }, () => 'engine_unavailable'));
    expect(backend.asked).toBe(2);
  });

  it('waits no longer than its own time', async () => {
    const open = close();
    const first = ask('q');
    const started = performance.now();
    await expect(ask('q', {}, { timeoutSeconds: 0.05 })).rejects.toMatchObject({ code: 'deadline_exceeded' });
    expect(performance.now() - started).toBeLessThan(1_000);
    open();
    expect((await first).text).toBe('answer 1');
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

describe('a question that is not to be looked up', () => {
  it('is not embedded where its key may ask no more', async () => {
    const embedded = embedding();
    const reserve = () => {
      throw new ApiError('rate_limit_exceeded', 'Rate limit reached for your key.');
    };
    await expect(ask('q', {}, { reserve })).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
    expect(embedded.count).toBe(0);
    expect(cache.economics.of('general')).toMatchObject({ misses: 0, bypasses: 0 });
  });

  it('is not embedded where it wants nothing that is kept, and nothing kept', async () => {
    const embedded = embedding();
    const fields = { 'no-cache': true, 'no-store': true };
    expect(await ask('q', fields)).toEqual({ state: 'bypass; reason=no-store', text: 'answer 1' });
    await expect(ask('q', { ...fields, 'only-if-cached': true })).rejects.toMatchObject({
      code: 'not_cached',
    });
    expect(embedded.count).toBe(0);
    expect(cache.size).toBe(0);
  });
});

/** A client that may leave. */
function leaving(): Client & { leave(): void } {
  const listeners = new Set<() => void>();
  return {
    hasLeft: false,
    onLeave(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    leave() {
      Object.assign(this, { hasLeft: true });
      for (const listener of [...listeners]) listener();
    },
  };
}

describe('whoever leaves', () => {
  it('leaves the others what is made, also where it was the first', async () => {
    const open = close();
    const client = leaving();
    const first = ask('q', {}, { client });
    const others = [ask('q'), ask('q')];
    await expect.poll(() => backend.asked).toBe(1);
    client.leave();
    open();
    expect(await Promise.all(others)).toMatchObject([{ text: 'answer 1' }, { text: 'answer 1' }]);
    await first;
    expect(backend.asked).toBe(1);
  });

  it('or may not, or has no more time: all that was held is settled, and nothing is left over', async () => {
    const random = new Random(7);
    let [held, most] = [0, 0];
    const reserve = ({ completionTokens }: Asked): Reservation => {
      if (random.next() < (completionTokens > 0 ? 0.3 : 0.05))
        throw new ApiError('insufficient_quota', 'The budget of your key has no room.');
      held += 1;
      most = Math.max(most, held);
      let isSettled = false;
      const settle = () => {
        if (!isSettled) held -= 1;
        isSettled = true;
      };
      return { headers: {}, holdsTokens: false, settle };
    };
    const asks = Array.from({ length: 400 }, async (_, i) => {
      await sleep(random.next() * 200);
      backend.gate = sleep(random.next() * 10);
      backend.failure = random.next() < 0.2 ? 'gone' : null;
      const client = leaving();
      if (random.next() < 0.3) setTimeout(() => client.leave(), random.next() * 20);
      const options = { client, reserve, ...(random.next() < 0.3 ? { timeoutSeconds: 0.005 } : {}) };
      const asked = ask(`q ${i % 40}`, random.next() < 0.2 ? { 'no-cache': true } : {}, options);
      return asked.then(
        ({ text }) => text !== '',
        (error: unknown) => error instanceof ApiError,
      );
    });
    expect(await Promise.all(asks)).toEqual(asks.map(() => true));
    expect(most).toBeGreaterThan(5);
    await expect.poll(() => [held, generation.flights]).toEqual([0, 0]);
    backend.failure = null;
    for (let i = 0; i < 40; i++) expect((await ask(`q ${i}`)).text).toMatch(/^answer/);
  });
});

it('what is purged while it is made is kept when it is done, and can be reported', async () => {
  const open = close();
  const asked = [ask('q'), ask('q')] as const;
  await expect.poll(() => backend.asked).toBe(1);
  expect(await cache.kept.purge({}, false)).toEqual({ entries: 0, bytes: 0 });
  open();
  const { state } = await asked[1];
  const [entry] = await stored();
  expect(state).toContain(`id=${entry?.id}`);
});

it('what nobody waits for is no load', async () => {
  await ask('q', {}, { priority: 'batch' });
  await ask('q', { category: 'stale' });
  now += 2_000;
  await ask('q', { category: 'stale' });
  await expect.poll(() => backend.asked).toBe(3);
  expect(sent).toBe(1);
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
  const embedding = { vector: new Float32Array(4), tokenIds: [1], tokenStates: null, signature: null };
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
