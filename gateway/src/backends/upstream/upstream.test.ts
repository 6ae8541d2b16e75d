/** What a request to an upstream is taken to use, and what it may. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { GREEDY } from '../../../../test/support/sampling.ts';
import {
  answerCompletion,
  startUpstream,
  type TestUpstream,
  USAGE,
} from '../../../../test/support/upstream.ts';
import type { Reservation } from '../../admission/admission.ts';
import type { Used } from '../../admission/asked.ts';
import { Cancellation } from '../../cancellation.ts';
import { embeddingAnswer } from '../../embedding.ts';
import { ApiError } from '../../errors.ts';
import { generateWhole, startGeneration } from '../../generation.ts';
import { clientOfSignal } from '../../http/client.ts';
import { InFlight } from '../../in-flight.ts';
import { createLogger } from '../../logging.ts';
import { Metrics } from '../../metrics/metrics.ts';
import type { BackendRequest } from '../backend.ts';
import { UpstreamHttp } from './http.ts';
import { UpstreamBackend } from './upstream.ts';

/** An answer of so many tokens, in so long: more than the first guess of the pace, which it outweighs. */
const [TOKENS, MILLISECONDS] = [100, 250];

let upstream: TestUpstream;
afterEach(() => upstream.stop());

function requests(maxTokens: (number | null)[]): BackendRequest[] {
  return maxTokens.map((most, index) => ({
    id: `r${index}`,
    prompt: { kind: 'text', text: 'x' },
    sampling: { ...GREEDY, maxTokens: most },
    scheduling: {
      ...{ tenant: 't', weight: 1, priority: 'normal', category: null },
      ...{ timeoutSeconds: null, cacheSalt: null },
    },
    echo: false,
  }));
}

async function ask(
  asked: readonly BackendRequest[],
  { holdsTokens = false, signal = new AbortController().signal, streams = false } = {},
): Promise<Used | null> {
  return (await outcome(asked, { holdsTokens, signal, streams })).used;
}

/** What came of requests: what was settled, and what the client is told where they failed. */
async function outcome(
  asked: readonly BackendRequest[],
  {
    holdsTokens = false,
    signal = new AbortController().signal,
    streams = false,
    backend = upstream.backend,
    metrics = new Metrics(),
  } = {},
): Promise<{ used: Used | null; error: ApiError | null }> {
  let settled: Used | null = null;
  let failure: ApiError | null = null;
  const reservation: Reservation = {
    headers: {},
    holdsTokens,
    settle: (used) => {
      settled = used;
    },
  };
  const model = upstream.backend.base!;
  const options: Parameters<typeof generateWhole>[0] = {
    ...{ backend, model, requests: asked, promptParam: 'prompt' },
    reserve: () => reservation,
    inFlight: new InFlight({ running: 8, queued: 0 }),
    metrics,
    client: clientOfSignal(signal),
  };
  const work = async () => {
    if (!streams) return generateWhole(options);
    for await (const _ of (await startGeneration(options)).events);
  };
  await work().catch((error: ApiError) => {
    failure = error;
  });
  return { used: settled, error: failure };
}

const NOTHING = { promptTokens: 0, cachedPromptTokens: 0, completionTokens: 0 };

describe('a whole answer that its client does not wait for', () => {
  it('is paid for as far as it probably had come, and no further than it could', async () => {
    const answers: ((response: ServerResponse) => void)[] = [
      (response) =>
        void sleep(MILLISECONDS).then(() =>
          answerCompletion(response, { prompt_tokens: 2, completion_tokens: TOKENS }),
        ),
    ];
    upstream = await startUpstream(null, (response) => answers.shift()?.(response));
    expect((await ask(requests([null])))?.completionTokens).toBe(TOKENS);
    const left = new AbortController();
    setTimeout(() => left.abort(), 4 * MILLISECONDS);
    const used = await ask(requests([null, 5]), { signal: left.signal });
    const first = (used?.completionTokens ?? 0) - 5;
    expect(first).toBeGreaterThan(0.5 * TOKENS);
    expect(first).toBeLessThan(3 * TOKENS);
  });

  it('is paid for where another choice of it fails', async () => {
    const answers: ((response: ServerResponse) => void)[] = [
      () => {},
      (response) => void sleep(MILLISECONDS).then(() => response.writeHead(500).end()),
    ];
    upstream = await startUpstream(null, (response) => answers.shift()?.(response));
    expect((await ask(requests([null, null])))?.completionTokens).toBeGreaterThan(1);
  });
});

describe('a client that leaves before the first token', () => {
  it.each([
    ['counts as one that gave up where tokens come as they are made', true, 1],
    ['says nothing of the first token where all come at once', false, 0],
  ])('%s', async (_, streams, count) => {
    upstream = await startUpstream(null, () => {});
    const metrics = new Metrics();
    metrics.setModel('base', 1);
    const signal = AbortSignal.timeout(50);
    const { error } = await outcome(requests([null]), { signal, streams, metrics });
    expect(error?.code).toBe('client_closed_request');
    const text = await metrics.render(upstream.backend, 'text');
    expect(text).toContain(`\npolylora_first_token_given_up_seconds_count{model_name="base"} ${count}\n`);
    expect(text).toContain('\nvllm:request_success_total{model_name="base",finished_reason="abort"} 1\n');
  });
});

describe('a whole answer that never was asked for', () => {
  it('costs nothing, and whoever waits for it need not wait for a connection', async () => {
    upstream = await startUpstream(null, (response) => answerCompletion(response));
    // It never answers what begins a connection by TLS.
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const nowhere = new UpstreamHttp(
      `https://127.0.0.1:${(silent.address() as AddressInfo).port}`,
      null,
      1 << 20,
    );
    const cancellation = new Cancellation();
    let sent = 0;
    const answer = nowhere.post('/v1/completions', {}, cancellation, () => sent++);
    const reason = new ApiError('client_closed_request', 'left');
    setTimeout(() => cancellation.cancel(reason), 20);
    await expect(answer).rejects.toBe(reason);
    expect(sent).toBe(0);
    await nowhere.close();
    silent.close();
  });

  it('costs nothing where the other choice could not be asked for either', async () => {
    upstream = await startUpstream(null, () => {});
    const { backend } = upstream;
    const cancellation = new Cancellation();
    cancellation.cancel(new ApiError('client_closed_request', 'left'));
    const [request] = requests([null]);
    let sent = 0;
    const events = await backend.answer(backend.base!, request!, cancellation, () => sent++);
    expect(events).toEqual([]);
    expect(sent).toBe(0);
  });
});

describe('a stream that its client leaves before it begins', () => {
  const echoed = (): BackendRequest[] => {
    const [request] = requests([400]);
    return [{ ...request!, prompt: { kind: 'tokens', ids: [1, 2, 3, 4] }, echo: true }];
  };

  it.each([
    ['a stream', () => requests([400])],
    ['one with an echo', echoed],
  ])('costs nothing where it was never sent: %s', async (_, asked) => {
    // Whoever begins a connection there waits: this is a server that takes none of TLS.
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    upstream = await startUpstream(100, (response) => answerCompletion(response));
    const url = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const nowhere = new UpstreamBackend({
      ...{ url, key: null, prefixes: 'off', priorities: 'off', secret: Buffer.alloc(32) },
      ...{ mostAnswerBytes: 1 << 20, logger: createLogger('silent') },
    });
    const left = new AbortController();
    setTimeout(() => left.abort(), 50);
    // It never was there to tell what it serves, which is what it is asked for first.
    Object.defineProperty(nowhere, 'ready', { value: true });
    const { used } = await outcome(asked(), { streams: true, signal: left.signal, backend: nowhere });
    expect(used).toEqual(NOTHING);
    await nowhere.close();
    silent.close();
  });

  it('costs its prompt where it was, and no tokens: they would have come', async () => {
    const left = new AbortController();
    upstream = await startUpstream(100, () => left.abort());
    const used = await ask(requests([400]), { streams: true, signal: left.signal });
    expect(used?.promptTokens).toBeGreaterThan(0);
    expect(used?.completionTokens).toBe(0);
  });

  it('costs what was probably computed of an answer that comes whole, as with an echo', async () => {
    const left = new AbortController();
    upstream = await startUpstream(100, () => left.abort());
    const used = await ask(echoed(), { streams: true, signal: left.signal });
    expect(used?.promptTokens).toBeGreaterThan(0);
    expect(used?.completionTokens).toBeGreaterThan(0);
  });
});

describe('an answer of more bytes than may be', () => {
  /** Sends a megabyte after another until nobody reads on. */
  function endless(response: ServerResponse): Promise<void> {
    const piece = Buffer.alloc(64 << 10, 'x');
    const write = () => {
      while (response.write(piece));
    };
    response.on('drain', write);
    write();
    return once(response, 'close').then(() => {});
  }

  it('is broken off, told by its code, and paid for as what was computed', async () => {
    const closed: Promise<void>[] = [];
    upstream = await startUpstream(100, (response) => closed.push(endless(response)));
    const { used, error } = await outcome(requests([50]));
    expect(error).toMatchObject({ code: 'upstream_answer_too_large', status: 502 });
    expect(used?.promptTokens).toBeGreaterThan(0);
    expect(used?.completionTokens).toBeGreaterThan(0);
    expect(used?.completionTokens).toBeLessThanOrEqual(50);
    // The upstream is told that nobody reads on.
    await Promise.all(closed);
    expect(closed).toHaveLength(1);
  });

  it('is as large as it may be, and not a byte larger', async () => {
    const answer = JSON.stringify({
      choices: [{ text: 'x'.repeat(3_000), finish_reason: 'length' }],
      usage: USAGE,
    });
    upstream = await startUpstream(100, (response) => response.end(answer), {
      mostAnswerBytes: answer.length,
    });
    expect((await outcome(requests([50]))).error).toBeNull();
    await upstream.stop();
    upstream = await startUpstream(100, (response) => response.end(answer), {
      mostAnswerBytes: answer.length - 1,
    });
    expect((await outcome(requests([50]))).error?.code).toBe('upstream_answer_too_large');
  });

  it('is none of vectors either', async () => {
    upstream = await startUpstream(100, (response) => void endless(response));
    const { backend } = upstream;
    let settled: Used | null = null;
    const answer = embeddingAnswer({
      ...{ backend, model: backend.base!, scheduling: requests([1])[0]!.scheduling },
      request: {
        ...{ inputs: [{ kind: 'text', text: 'four words of text' }], truncate: null },
        ...{ encoding: 'float', dimensions: null, user: null },
      },
      reserve: () => ({
        headers: {},
        holdsTokens: false,
        settle: (used) => {
          settled = used;
        },
      }),
      inFlight: new InFlight({ running: 8, queued: 0 }),
      metrics: new Metrics(),
      client: clientOfSignal(new AbortController().signal),
    });
    await expect(answer).rejects.toMatchObject({ code: 'upstream_answer_too_large' });
    expect(settled).toMatchObject({ promptTokens: expect.any(Number) });
  });
});

describe('an upstream that does not tell how long an answer may become', () => {
  it('is told, where it must not become longer than what is held', async () => {
    upstream = await startUpstream(null, (response) => answerCompletion(response));
    await ask(requests([null]), { holdsTokens: true });
    await ask(requests([7]), { holdsTokens: true });
    await ask(requests([null]));
    expect(upstream.asked.map((body) => body.max_tokens)).toEqual([8_192, 7, undefined]);
  });

  it('is not where it tells', async () => {
    upstream = await startUpstream(100, (response) => answerCompletion(response));
    await ask(requests([null]), { holdsTokens: true });
    expect(upstream.asked[0]).not.toHaveProperty('max_tokens');
  });
});
