/** One suite of cases, asked of the real server by the client libraries that people have, unmodified. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cosine, EMBEDDING_CASES } from '../support/embedder.ts';
import { answerOf, oracleCase, START_MILLISECONDS, until } from '../support/gateway.ts';
import { type ClientLibrary, type ConformanceClient, Failure, WEATHER } from './client.ts';
import { langchain } from './clients/langchain.ts';
import { openaiNode } from './clients/openai-node.ts';
import { openaiPython } from './clients/openai-python.ts';
import { vercel } from './clients/vercel.ts';
import { BROKEN_BY, type FaultyServer, SAID_BEFORE, startFaultyServer } from './faults.ts';
import { PLACE } from './place.ts';
import { type ConformanceServer, startConformanceServer } from './server.ts';

const EMBEDDER = 'all-MiniLM-L6-v2';
const CAPITAL = 'What is the capital of France?';
const GREEDY = { prompt: CAPITAL, temperature: 0, maxTokens: 40 };
/** Runs until somebody leaves, or for a second or two. */
const LONG = { prompt: 'Count to a thousand, in words.', temperature: 0 };

let server: ConformanceServer;
let faulty: FaultyServer;
let apiKey = '';
beforeAll(async () => {
  [server, faulty] = await Promise.all([startConformanceServer(), startFaultyServer()]);
  apiKey = await server.key();
}, START_MILLISECONDS);
afterAll(async () => {
  await faulty?.stop();
  await server?.stop();
});

describe.each<ClientLibrary>([openaiNode, openaiPython, langchain, vercel])('$name', (library) => {
  const { lacks, missing } = library;
  const opened: ConformanceClient[] = [];
  const open = (key = apiKey, retries = 0, { baseUrl }: { readonly baseUrl: string } = server) => {
    const client = library.open({ baseUrl, apiKey: key, retries });
    opened.push(client);
    return client;
  };
  let client: ConformanceClient;
  beforeAll(() => {
    if (missing === null) client = open();
  });
  afterAll(() => Promise.all(opened.map((each) => each.close())));

  /** A case, unless the library has no words for it: then its name says so. */
  const test = (name: string, run: () => Promise<void>, need?: keyof typeof lacks) => {
    const reason = missing ?? (need === undefined ? undefined : lacks[need]);
    it.skipIf(reason !== undefined)(reason === undefined ? name : `${name} (${reason})`, run);
  };

  test('is answered as the model answers, by the base and by adapters', async () => {
    for (const model of ['base', 'pirate']) {
      const expected = answerOf(oracleCase(model === 'base' ? null : model, CAPITAL));
      const { texts, finishReasons, usage } = await client.chat({ ...GREEDY, model });
      expect(texts).toEqual([expected]);
      expect(finishReasons).toEqual(['stop']);
      expect(usage?.prompt).toBeGreaterThan(5);
      expect(usage?.completion).toBeGreaterThan(5);
    }
  });

  test('is streamed piece by piece, with usage', async () => {
    const whole = await client.chat({ ...GREEDY, model: 'pirate' });
    const { pieces, finishReason, usage } = await client.stream({ ...GREEDY, model: 'pirate' });
    expect(pieces.length).toBeGreaterThan(5);
    expect(pieces.join('')).toBe(whole.texts[0]);
    expect(finishReason).toBe('stop');
    expect(usage).toEqual(whole.usage);
  });

  test(
    'gets several answers',
    async () => {
      const { texts } = await client.chat({ ...GREEDY, model: 'base', temperature: 1.2, seed: 3, n: 3 });
      expect(new Set(texts).size).toBeGreaterThan(1);
      expect(texts).toHaveLength(3);
    },
    'n',
  );

  test('gets the same answer to the same seed, and others to others', async () => {
    const drawn = async (seed: number) =>
      (await client.chat({ ...GREEDY, model: 'base', temperature: 1.2, seed })).texts[0];
    const first = await drawn(7);
    expect(await drawn(7)).toBe(first);
    expect(await drawn(8)).not.toBe(first);
  });

  test('ends where it is told to', async () => {
    const stopped = await client.chat({ ...GREEDY, model: 'base', stop: [' of'] });
    expect(stopped.texts).toEqual(['The capital']);
    expect(stopped.finishReasons).toEqual(['stop']);
    const cut = await client.chat({ ...GREEDY, model: 'base', maxTokens: 3 });
    expect(cut.finishReasons).toEqual(['length']);
    expect(cut.usage?.completion).toBe(3);
  });

  test(
    'is told how likely the tokens were',
    async () => {
      const { logprobs, usage } = await client.chat({ ...GREEDY, model: 'base', logprobs: 2 });
      const expected = oracleCase(null, CAPITAL).greedy_logprobs;
      expect(logprobs).toHaveLength(usage?.completion ?? 0);
      // The oracle computes in float32.
      expect(Math.abs((logprobs?.[0] ?? Number.NaN) - (expected[0] ?? Number.NaN))).toBeLessThan(0.3);
    },
    'logprobs',
  );

  test(
    'lists the models',
    async () => {
      expect(await client.models()).toEqual(expect.arrayContaining(['headline', 'pirate', 'text-to-sql']));
    },
    'models',
  );

  test(
    'gets vectors of texts',
    async () => {
      const cases = EMBEDDING_CASES.filter(({ text, ids }) => text !== '' && ids.length < 256);
      const { vectors, promptTokens } = await client.embed(
        EMBEDDER,
        cases.map(({ text }) => text),
      );
      for (const [index, { embedding }] of cases.entries()) {
        expect(cosine(vectors[index] ?? [], embedding)).toBeGreaterThan(0.99);
      }
      expect(promptTokens).toBe(cases.reduce((sum, { ids }) => sum + ids.length, 0));
    },
    'embeddings',
  );

  test(
    'gets responses, whole and streamed, and goes on from them',
    async () => {
      const expected = answerOf(oracleCase(null, CAPITAL));
      const whole = await client.respond({ model: 'base', input: CAPITAL });
      expect(whole).toMatchObject({ id: expect.stringMatching(/^resp_/), text: expected });
      const streamed = await client.respond({ model: 'base', input: CAPITAL, stream: true });
      expect(streamed.text).toBe(expected);
      expect(streamed.pieces.length).toBeGreaterThan(3);
      expect(streamed.pieces.join('')).toBe(expected);
      const next = await client.respond({
        model: 'base',
        input: 'And of Germany?',
        previous: whole.id ?? '',
      });
      expect(next.text).toContain('Berlin');
    },
    'responses',
  );

  test('has its tool called, whole and streamed', async () => {
    for (const stream of [false, true]) {
      const calls = await client.call('base', 'What is the weather in Paris?', stream);
      expect(calls.length).toBeGreaterThan(0);
      for (const call of calls) {
        expect(call.name).toBe(WEATHER.name);
        expect(Object.keys(call.arguments)).toEqual(['city']);
        expect(WEATHER.parameters.properties.city.enum).toContain(call.arguments.city);
      }
    }
  });

  test('parses an object of its own schema', async () => {
    const place = await client.parse('base', 'The capital of France, and its river, as JSON.');
    expect(PLACE.parse(place)).toEqual(place);
  });

  test('is told what is wrong', async () => {
    const stranger = open('sk-of-nobody');
    const asked = { ...GREEDY, model: 'base' };
    expect(await failureOf(stranger.chat(asked))).toMatchObject({ status: 401, code: 'invalid_api_key' });
    const nobody = client.chat({ ...asked, model: 'nobody' });
    expect(await failureOf(nobody)).toMatchObject({ status: 404, code: 'model_not_found' });
    const hot = await failureOf(client.chat({ ...asked, temperature: 3 }));
    expect(hot).toMatchObject({ status: 400, code: 'decimal_above_max_value' });
    expect(hot.message).toContain('temperature');
    const before = client.stream({ ...asked, model: 'nobody' });
    expect(await failureOf(before)).toMatchObject({ status: 404, code: 'model_not_found' });
  });

  /** Asks while a key that may have one request has it. */
  async function whileBusy<T>(retries: number, ask: (busy: ConformanceClient) => Promise<T>): Promise<T> {
    const key = await server.key({ concurrent_requests: 1 });
    const asking = open(key, retries);
    // It has started by now, which takes Python a while.
    await asking.chat({ ...GREEDY, model: 'base', maxTokens: 1 });
    const other = openaiNode.open({ baseUrl: server.baseUrl, apiKey: key, retries: 0 });
    const stream = other.stream({ ...LONG, model: 'base', maxTokens: 120 });
    await until(async () => (await server.running()) > 0);
    const result = await ask(asking);
    await stream;
    return result;
  }

  test('that is refused for now is refused with 429', async () => {
    const refused = await whileBusy(0, (busy) => failureOf(busy.chat({ ...GREEDY, model: 'base' })));
    expect(refused).toMatchObject({ status: 429, code: 'concurrency_limit_exceeded' });
  });

  test('that is refused for now tries again, and is answered', async () => {
    const refusals = await server.answered(429);
    const answer = await whileBusy(8, (busy) => busy.chat({ ...GREEDY, model: 'base' }));
    expect(answer.texts).toEqual([answerOf(oracleCase(null, CAPITAL))]);
    expect(await server.answered(429)).toBeGreaterThan(refusals);
  });

  test(
    'waits as long as it is told before it tries again',
    async () => {
      const refusals = await server.answered(429);
      const began = performance.now();
      await whileBusy(8, (busy) => busy.chat({ ...GREEDY, model: 'base' }));
      // A second each, by `retry-after-ms`.
      const tries = (await server.answered(429)) - refusals;
      expect(performance.now() - began).toBeGreaterThan(tries * 990);
    },
    'retry-after',
  );

  test(
    'does not try again where that cannot help',
    async () => {
      const refusals = await server.answered(429);
      const spent = open(await server.key({ budgets: { total: { tokens: 1 } } }), 3);
      const failure = await failureOf(spent.chat({ ...GREEDY, model: 'base' }));
      expect(failure).toMatchObject({ status: 429, code: 'insufficient_quota' });
      expect(await server.answered(429)).toBe(refusals + 1);
    },
    'x-should-retry',
  );

  test(
    'has a file of prompts answered as a batch',
    async () => {
      const capitals = ['France', 'Germany'].map((country) => `What is the capital of ${country}?`);
      const { status, counts, texts, isRemoved } = await client.batch('base', capitals);
      expect(status).toBe('completed');
      expect(counts).toEqual({ total: 2, completed: 2, failed: 0 });
      expect(texts).toEqual([answerOf(oracleCase(null, CAPITAL)), expect.stringContaining('Berlin')]);
      expect(isRemoved).toBe(true);
    },
    'batches',
  );

  /** With what it was given before, and nothing that looks like an end. */
  test('is told what went wrong in the middle of a stream', async () => {
    faulty.breakStream();
    const asked = { model: 'base', prompt: 'Count.' };
    const failure = await failureOf(open(apiKey, 0, faulty).stream(asked));
    expect(failure.pieces).toEqual(SAID_BEFORE);
    expect(failure.message).toContain(BROKEN_BY.message);
    expect(failure.code).toBe(BROKEN_BY.code);
  });

  test('tries again what was not there for a moment, and is answered', async () => {
    const asked = { model: 'base', prompt: 'Hello?' };
    faulty.refuseOnce();
    const refused = await failureOf(open(apiKey, 0, faulty).chat(asked));
    expect(refused).toMatchObject({ status: 503, code: 'engine_unavailable' });
    faulty.refuseOnce();
    const before = faulty.asked;
    expect((await open(apiKey, 2, faulty).chat(asked)).texts).toEqual(['fine']);
    expect(faulty.asked).toBe(before + 2);
  });

  test('that leaves ends its request', async () => {
    const { pieces } = await client.stream({ ...LONG, model: 'base', maxTokens: 2000 }, 4);
    expect(pieces.length).toBeGreaterThanOrEqual(4);
    await until(async () => (await server.running()) === 0, 5);
  });
});

async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  const thrown = await promise.then(
    () => new Error('nothing was thrown'),
    (error: unknown) => error,
  );
  if (thrown instanceof Failure) return thrown;
  throw thrown;
}
