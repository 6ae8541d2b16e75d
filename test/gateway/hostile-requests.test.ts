/** RELIABILITY 16: requests that are meant to hurt are refused at once, on every route, and no other tenant notices. */
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  administer,
  answerTo,
  type Gateway,
  type PlainAnswer,
  START_MILLISECONDS,
  startGateway,
} from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

/** Of the gateway's time for a refusal, on a machine that parses the reference in its time. */
const BOUND_SECONDS = 0.05;
const ATTEMPTS = 5;
const ROUNDS = 8;
/** Between rounds, so that a busy moment of the machine ends: longer each time. */
const PAUSE_MILLISECONDS = 250;
/** What JSON.parse takes for the reference on the two cores that the figures are for. */
const REFERENCE_SECONDS = 0.035;
/** Attackers at once. */
const MANY = 8;
/** For which attackers go on, and for which nobody attacks first. */
const ATTACK_SECONDS = 12;
const QUIET_SECONDS = 5;
/** As long as the refusals of all that attack at once take when they come in one turn, and as much again for what the system does with them. */
const LONGEST_SECONDS = 2 * MANY * BOUND_SECONDS;
/** Of Linux's accounts, in a second. */
const TICKS = 100;
const MEGABYTE = 1 << 20;

let gateway: Gateway;
let attacker = '';
let somebodyElse = '';
beforeAll(async () => {
  gateway = await startGateway({
    ...{ auth: 'keys', adapters: null, args: ['--log-level', 'warn'] },
    env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY },
  });
  for (const id of ['hostile', 'peaceful']) await administer(gateway, 'tenants', { id });
  // An administrator, who reaches the most routes.
  attacker = (await administer(gateway, 'keys', { tenant: 'hostile', role: 'admin' })).key;
  somebodyElse = (await administer(gateway, 'keys', { tenant: 'peaceful' })).key;
}, START_MILLISECONDS);
afterAll(() => gateway?.stop());

type Answer = Pick<PlainAnswer, 'status' | 'text'>;

function post(key: string, path: string, body: string, type = 'application/json'): Promise<PlainAnswer> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': type };
  // A connection each: one whose body was not read is closed after its answer.
  return answerTo(httpRequest(`${gateway.url}${path}`, { method: 'POST', agent: false, headers }), body);
}

/** Sends bytes until the server answers, however many there would be, and reads that. */
async function send(head: string, filler: Buffer, times: number): Promise<Answer> {
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
    // A client that cannot send on waits for good where nothing is read any more.
    if (!socket.write(filler))
      await Promise.race([new Promise((r) => socket.once('drain', r)), closed, sleep(50)]);
    else await sleep(0);
  }
  const deadline = performance.now() + 10_000;
  while (!text.includes('}}') && !socket.destroyed && performance.now() < deadline) await sleep(1);
  socket.destroy();
  await closed;
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]), text };
}

const FILLER = Buffer.alloc(64 << 10, 'x');
const CHUNK = Buffer.concat([Buffer.from('10000\r\n'), FILLER, Buffer.from('\r\n')]);
const HUNDRED_MEGABYTES = 100 * MEGABYTE;
const start = (path: string, type = 'application/json') =>
  `POST ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${attacker}\r\ncontent-type: ${type}\r\n`;

const many = <T>(count: number, each: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => each(i));
const properties = (count: number) => Object.fromEntries(many(count, (index) => [index, 1]));
const named = (count: number) => Object.fromEntries(many(count, (index) => [`key-${index}`, 'x']));

/** A body of each route that would be answered. */
const ROUTES: Record<string, object> = {
  '/v1/chat/completions': { model: 'base', messages: [{ role: 'user', content: 'Hello' }], max_tokens: 1 },
  '/v1/completions': { model: 'base', prompt: 'Hello', max_tokens: 1 },
  '/v1/responses': { model: 'base', input: 'Hello', max_output_tokens: 1 },
  '/v1/embeddings': { model: 'base', input: 'Hello' },
  '/tokenize': { prompt: 'Hello' },
  '/detokenize': { tokens: [1] },
  '/v1/batches': { input_file_id: 'file-x', endpoint: '/v1/completions', completion_window: '24h' },
  '/admin/v1/keys': { alias: 'x' },
};
const [CHAT, COMPLETIONS, RESPONSES] = ['/v1/chat/completions', '/v1/completions', '/v1/responses'] as const;
const GENERATING = [CHAT, COMPLETIONS, RESPONSES];

interface Attack {
  readonly name: string;
  readonly send: () => Promise<Answer>;
}

function withFields(what: string, path: string, fields: object): Attack {
  const body = JSON.stringify({ ...ROUTES[path], ...fields });
  return { name: `${what} at ${path}`, send: () => post(attacker, path, body) };
}

function attacks(): Attack[] {
  const all: Attack[] = [];
  const add = (what: string, paths: readonly string[], fields: object) => {
    for (const path of paths) all.push(withFields(what, path, fields));
  };
  for (const path of Object.keys(ROUTES)) {
    const deep = `{"messages":${'['.repeat(10_000)}${']'.repeat(10_000)}}`;
    const deepObjects = `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`;
    all.push(
      { name: `lists 10,000 deep at ${path}`, send: () => post(attacker, path, deep) },
      { name: `objects 10,000 deep at ${path}`, send: () => post(attacker, path, deepObjects) },
      {
        name: `100 MB at ${path}`,
        send: () => send(`${start(path)}content-length: ${HUNDRED_MEGABYTES}\r\n\r\n`, FILLER, 1600),
      },
      {
        name: `100 MB in chunks at ${path}`,
        send: () => send(`${start(path)}transfer-encoding: chunked\r\n\r\n`, CHUNK, 1600),
      },
      { name: `10 MB of headers at ${path}`, send: () => send(`${start(path)}x: `, FILLER, 160) },
    );
  }
  const form = 'multipart/form-data; boundary=b';
  const part = '--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n';
  all.push(
    {
      name: 'a form with 10,000 fields at /v1/files',
      send: () =>
        post(
          attacker,
          '/v1/files',
          `${many(10_000, (i) => `--b\r\ncontent-disposition: form-data; name="f${i}"\r\n\r\nx\r\n`).join('')}--b--\r\n`,
          form,
        ),
    },
    {
      name: '10 GB by its length at /v1/files',
      send: () => send(`${start('/v1/files', form)}content-length: 10737418240\r\n\r\n${part}`, FILLER, 1600),
    },
  );
  add('n of a million', [CHAT, COMPLETIONS], { n: 1_000_000 });
  add('100,000 biases', GENERATING, { logit_bias: properties(100_000) });
  add('100,000 stops', GENERATING, { stop: many(100_000, (index) => `stop ${index}`) });
  add('100,000 equal stops', [CHAT], { stop: many(100_000, () => 'x') });
  add('metadata of 100,000 keys', [...GENERATING, '/v1/batches', '/admin/v1/keys'], {
    metadata: named(100_000),
  });
  add('100,000 messages', [CHAT, '/tokenize'], {
    messages: many(100_000, () => ({ role: 'user', content: 'x' })),
  });
  add('100,000 parts', [CHAT, '/tokenize'], {
    messages: [{ role: 'user', content: many(100_000, () => ({ type: 'text', text: 'x' })) }],
  });
  add('100,000 items', [RESPONSES], { input: many(100_000, () => ({ role: 'user', content: 'x' })) });
  add('100,000 texts', [COMPLETIONS], { prompt: many(100_000, () => 'x') });
  add('100,000 texts', ['/v1/embeddings'], { input: many(100_000, () => 'x') });
  add('a million tokens', [COMPLETIONS], { prompt: many(1_000_000, () => 1) });
  add('a million tokens', ['/detokenize'], { tokens: many(1_000_000, () => 1) });
  const tool = (index: number) => ({ name: `f${index}`, parameters: { type: 'object' } });
  add('10,000 functions', [CHAT], {
    tools: many(10_000, (index) => ({ type: 'function', function: tool(index) })),
  });
  add('10,000 functions', [RESPONSES], {
    tools: many(10_000, (index) => ({ type: 'function', ...tool(index) })),
  });
  add('100,000 models', ['/admin/v1/keys'], { models: many(100_000, (index) => `m${index}`) });
  const schemas: [string, object][] = [
    ['an enum of 100,000', { enum: many(100_000, (index) => `value ${index}`) }],
    [
      '20,000 properties',
      { type: 'object', properties: Object.fromEntries(many(20_000, (i) => [`p${i}`, { type: 'string' }])) },
    ],
    ['a reference to nothing', { $ref: '#/$defs/none' }],
    [
      'references in a circle',
      { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } },
    ],
    ['a pattern of 300 KB', { type: 'string', pattern: '(a|b)'.repeat(60_000) }],
  ];
  for (const [what, schema] of schemas) {
    const format = { type: 'json_schema', json_schema: { name: 'x', schema, strict: false } };
    add(`a schema with ${what}`, [CHAT, COMPLETIONS], { response_format: format });
    add(`a schema with ${what}`, [RESPONSES], {
      text: { format: { type: 'json_schema', name: 'x', schema } },
    });
  }
  return all;
}

/** Seconds of the gateway's that were spent so far: on a busy machine the clock says nothing. */
function spent(): number {
  const [, fields = ''] = /\) (.*)/.exec(readFileSync(`/proc/${gateway.child.pid}/stat`, 'utf8')) ?? [];
  const [user, system] = fields.split(' ').slice(11, 13).map(Number) as [number, number];
  return (user + system) / TICKS;
}

/** How much slower than the machine of the figures this one is now: never less than 1. */
function slowness(): number {
  const text = JSON.stringify({ a: many(100_000, () => ({ role: 'user', content: 'x' })), b: named(50_000) });
  const times = many(5, () => {
    const before = process.cpuUsage();
    JSON.parse(text);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  });
  return Math.max(1, Math.min(...times) / REFERENCE_SECONDS);
}

/** What no single field forbids: it is refused for its length, by the engine, after its JSON is read. */
function heavy(): Attack[] {
  const messages = many(60_000, () => ({ role: 'user', content: 'x' }));
  return [
    withFields('60,000 messages', CHAT, { messages }),
    withFields('60,000 messages', '/tokenize', { messages }),
    withFields('60,000 items', RESPONSES, { input: messages }),
    withFields('4 MB of text', COMPLETIONS, { prompt: 'a b '.repeat(1_000_000) }),
    withFields('4 MB of text', '/v1/embeddings', { input: 'a b '.repeat(1_000_000) }),
    withFields('4 MB of text', '/tokenize', { prompt: 'a b '.repeat(1_000_000) }),
    withFields('2,048 texts', COMPLETIONS, { prompt: many(2048, () => 'x') }),
  ];
}

// Linux tells what a process has spent.
describe.runIf(process.platform === 'linux')('a hostile request', () => {
  it('is refused on every route, in the time of a few small ones', async () => {
    for (const { name, send } of attacks()) {
      await send();
      const cost = async () => {
        const before = spent();
        for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
          const { status, text } = await send();
          expect([400, 413, 431], `${name}: ${status} ${text.slice(0, 300)}`).toContain(status);
          expect(text, name).toMatch(/"code":"(?!invalid_json|internal)\w+"/);
        }
        return (spent() - before) / ATTEMPTS;
      };
      // Where others use the machine, the same work takes longer for a while; what always takes too long does so each time.
      let [least, bound] = [Number.POSITIVE_INFINITY, 0];
      for (let round = 0; round < ROUNDS && least >= bound; round++) {
        await sleep(round * PAUSE_MILLISECONDS);
        bound = BOUND_SECONDS * slowness();
        least = Math.min(least, await cost());
      }
      expect(least, name).toBeLessThan(bound);
    }
  }, 300_000);

  it('does not keep another tenant waiting, however many come at once, and changes nothing it gets', async () => {
    const all = [...attacks(), ...heavy()];
    const [chat, tokenize] = [
      JSON.stringify({ ...ROUTES[CHAT], max_tokens: 8, temperature: 0 }),
      JSON.stringify(ROUTES['/tokenize']),
    ];
    const said = new Set<string>();
    /** Asks one after the other for so long. Returns what nine of ten took at most, and the longest, in seconds. */
    const askSteadily = async (seconds: number): Promise<{ most: number; longest: number }> => {
      const end = performance.now() + seconds * 1000;
      const took: number[] = [];
      while (performance.now() < end) {
        for (const [path, body] of [
          ['/tokenize', tokenize],
          [CHAT, chat],
        ] as const) {
          const before = performance.now();
          const { status, text } = await post(somebodyElse, path, body);
          expect([path, status]).toEqual([path, 200]);
          took.push((performance.now() - before) / 1000);
          const answer = JSON.parse(text);
          said.add(JSON.stringify(answer.choices?.[0].message.content ?? answer.tokens));
        }
        await sleep(10);
      }
      took.sort((a, b) => a - b);
      return { most: took[Math.floor(took.length * 0.9)] ?? 0, longest: took.at(-1) ?? 0 };
    };
    const quiet = await askSteadily(QUIET_SECONDS);
    expect(said.size).toBe(2);
    const slow = slowness();
    const end = performance.now() + ATTACK_SECONDS * 1000;
    let [next, refused] = [0, 0];
    const attackOn = async () => {
      while (performance.now() < end || next < all.length) {
        const { name, send } = all[next++ % all.length] as Attack;
        const { status } = await send();
        expect([400, 413, 429, 431], name).toContain(status);
        refused += 1;
      }
    };
    const [attacked] = await Promise.all([askSteadily(ATTACK_SECONDS), ...many(MANY, attackOn)]);
    expect(refused).toBeGreaterThanOrEqual(all.length);
    // The very same answers.
    expect(said.size).toBe(2);
    const told = `${JSON.stringify(quiet)} s when nobody attacks`;
    expect(attacked.most, told).toBeLessThan((quiet.most + LONGEST_SECONDS) * slow);
    // Of one request alone the machine may make what it likes, where other tests run on it: no attack takes so long by itself.
    expect(attacked.longest, told).toBeLessThan(5 * (quiet.longest + LONGEST_SECONDS) * slow);
  }, 300_000);
});
