/** Requests that are meant to hurt: refused at once, and nobody else notices. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, START_MILLISECONDS, startGateway } from '../support/gateway.ts';

const BOUND_SECONDS = 0.05;
const ATTEMPTS = 10;
/** Of Linux's accounts, in a second. */
const TICKS = 100;
const HELLO = { model: 'base', messages: [{ role: 'user', content: 'Hello' }] };

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway({ args: ['--auth', 'off'] });
}, START_MILLISECONDS);
afterAll(() => gateway?.stop());

interface Refusal {
  readonly status: number;
  readonly text: string;
}

async function post(body: string): Promise<Refusal> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  return { status: response.status, text: await response.text() };
}

/** Sends bytes until the server answers, however many there would be. */
async function send(head: string, filler: Buffer, times: number): Promise<Refusal> {
  const { hostname, port } = new URL(gateway.url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.setEncoding('utf8').on('data', (data: string) => {
    text += data;
  });
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => resolve());
  });
  // The server may close while we still send.
  socket.on('error', () => {});
  socket.write(head);
  for (let sent = 0; sent < times && text === '' && !socket.destroyed; sent++) {
    await new Promise<void>((resolve) => {
      socket.write(filler, () => resolve());
    });
    // What is sent after the answer would have the system drop that.
    await nextTurn();
  }
  await until(() => text.includes('}}') || socket.destroyed);
  socket.destroy();
  await closed;
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]), text };
}

async function until(isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!isTrue() && performance.now() < deadline) await nextTurn();
}

/** Seconds of the gateway's that were spent so far: on a busy machine the clock says nothing. */
function spent(): number {
  const [, fields = ''] = /\) (.*)/.exec(readFileSync(`/proc/${gateway.child.pid}/stat`, 'utf8')) ?? [];
  const [user, system] = fields.split(' ').slice(11, 13).map(Number) as [number, number];
  return (user + system) / TICKS;
}

const FILLER = Buffer.alloc(64 << 10, 'x');
const START = 'POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n';

const biases = Object.fromEntries(Array.from({ length: 100_000 }, (_, id) => [id, 1]));
const cases: [string, () => Promise<Refusal>, number, string][] = [
  ['n of a million', () => post(JSON.stringify({ ...HELLO, n: 1_000_000 })), 400, 'integer_above_max_value'],
  [
    '100,000 biases',
    () => post(JSON.stringify({ ...HELLO, logit_bias: biases })),
    400,
    'object_above_max_properties',
  ],
  ['10 MB of headers', () => send(`${START}x: `, FILLER, 160), 431, 'headers_too_large'],
  [
    'a body of 100 MB',
    () => send(`${START}content-length: ${100 << 20}\r\n\r\n`, FILLER, 1600),
    413,
    'request_too_large',
  ],
  [
    'JSON 10,000 deep',
    () => post(`{"messages":${'['.repeat(10_000)}${']'.repeat(10_000)}}`),
    400,
    'json_too_deep',
  ],
];

describe('a hostile request', () => {
  // Linux tells what a process has spent.
  it.runIf(process.platform === 'linux').each(cases)(
    'of %s is refused at once',
    async (_, request, status, code) => {
      const before = spent();
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        expect(await request()).toMatchObject({ status, text: expect.stringContaining(`"code":"${code}"`) });
      }
      expect((spent() - before) / ATTEMPTS).toBeLessThan(BOUND_SECONDS);
    },
  );

  it('does not change what others get, or keep them waiting', async () => {
    const client = gateway.client.withOptions({ apiKey: 'somebody-else' });
    const answer = async () => {
      const stream = await client.chat.completions.create({
        ...{ model: 'base', messages: [{ role: 'user', content: 'Count to fifty.' }] },
        ...{ temperature: 0, max_tokens: 60, stream: true },
      } as const);
      let text = '';
      let longest = 0;
      let last = performance.now();
      for await (const { choices } of stream) {
        text += choices[0]?.delta.content ?? '';
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }
      return { text, longest };
    };
    const alone = await answer();
    const attacked = answer();
    let isDone = false;
    void attacked.finally(() => {
      isDone = true;
    });
    let attacks = 0;
    while (!isDone) {
      for (const [, request] of cases) await request();
      attacks += 1;
    }
    expect(attacks).toBeGreaterThan(0);
    const { text, longest } = await attacked;
    expect(text).toBe(alone.text);
    // A second is far more than a refusal takes, and far less than working through such a request would.
    expect(longest).toBeLessThan(1000);
  });
});
