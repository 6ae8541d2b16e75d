/** What a request to an upstream is taken to use, and what it may. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { afterEach, describe, expect, it } from 'vitest';
import { GREEDY } from '../../../../test/support/sampling.ts';
import { answerCompletion, startUpstream, type TestUpstream } from '../../../../test/support/upstream.ts';
import type { Reservation } from '../../admission/admission.ts';
import type { Used } from '../../admission/asked.ts';
import { Cancellation } from '../../cancellation.ts';
import { ApiError } from '../../errors.ts';
import { generateWhole } from '../../generation.ts';
import { clientOfSignal } from '../../http/client.ts';
import { InFlight } from '../../in-flight.ts';
import { Metrics } from '../../metrics.ts';
import type { BackendRequest } from '../backend.ts';
import { UpstreamHttp } from './http.ts';

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
  { holdsTokens = false, signal = new AbortController().signal } = {},
): Promise<Used | null> {
  let settled: Used | null = null;
  const reservation: Reservation = {
    headers: {},
    holdsTokens,
    settle: (used) => {
      settled = used;
    },
  };
  const { backend } = upstream;
  await generateWhole({
    ...{ backend, model: backend.base!, requests: asked, promptParam: 'prompt' },
    reserve: () => reservation,
    inFlight: new InFlight({ running: 8, queued: 0 }),
    metrics: new Metrics(new Registry()),
    client: clientOfSignal(signal),
  }).catch(() => {});
  return settled;
}

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

describe('a whole answer that never was asked for', () => {
  it('costs nothing, and whoever waits for it need not wait for a connection', async () => {
    upstream = await startUpstream(null, (response) => answerCompletion(response));
    // It never answers what begins a connection by TLS.
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const nowhere = new UpstreamHttp(`https://127.0.0.1:${(silent.address() as AddressInfo).port}`, null);
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
    const events = await backend.answer(backend.base!, request!, cancellation);
    expect(events).toMatchObject([{ type: 'error' }]);
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
