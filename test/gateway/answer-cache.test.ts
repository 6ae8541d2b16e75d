/** The answer cache in front of the real model, as clients see it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, metric, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';

const data = mkdtempSync(join(tmpdir(), 'polylora-cache-'));
const config = join(data, 'polylora.yaml');
let gateway: Gateway;

async function start(): Promise<void> {
  const files = ['--data-directory', join(data, 'data'), '--config', config];
  gateway = await startGateway({ args: ['--cache', 'semantic', '--cache-lookup-ms', '2000', ...files] });
  // Similar questions are found once the embedding model is loaded.
  await until(async () => {
    // One that was asked before the restart would be found without it.
    const { state } = await ask(`How do I open account ${performance.now()}?`, { headers: {} });
    return !state.includes('unclassified');
  }, 120);
}

beforeAll(async () => {
  writeFileSync(
    config,
    `cacheCategories:
  short: { ttlSeconds: 3 }
  stale: { ttlSeconds: 1, staleSeconds: 600 }
  cold: { maxTemperature: 0.2 }
  single: { multiTurn: false }
  closed: { enabled: false }
`,
  );
  await start();
}, START_MILLISECONDS);
afterAll(async () => {
  await gateway?.stop();
  rmSync(data, { recursive: true, force: true });
});

interface Asked {
  readonly fields?: Record<string, unknown>;
  readonly headers?: Record<string, string>;
  readonly key?: string;
  readonly signal?: AbortSignal;
  readonly messages?: readonly { readonly role: string; readonly content: string }[];
}

/** So that nothing hangs on what the classifier says. */
const OF_GENERAL = { 'x-polylora-cache-category': 'general' };

/** Asks over HTTP. */
async function ask(
  question: string,
  { fields, headers = OF_GENERAL, key = 'key-a', signal, messages }: Asked = {},
) {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, ...headers },
    body: JSON.stringify({
      model: 'base',
      messages: messages ?? [{ role: 'user', content: question }],
      temperature: 0,
      max_tokens: 24,
      ...fields,
    }),
    signal: signal ?? null,
  });
  const body = (await response.json()) as OpenAI.ChatCompletion & { error?: { code: string } };
  const state = response.headers.get('x-polylora-cache') ?? '';
  const content = body.choices?.[0]?.message.content ?? '';
  return { status: response.status, state, body, content, id: /id=([\w-]+)/.exec(state)?.[1] };
}

const TOPICS =
  'volcanoes, chess, bread, opera, glaciers, tigers, violins, castles, comets, democracy, coffee, bridges, penguins, silk, windmills, algebra, deserts, honey, submarines, origami, hurricanes, vaccines, jazz, mirrors, pyramids, owls, steam engines, rubber, tulips, compasses'.split(
    ', ',
  );

/** A question that nobody asked before, and like no other. */
function fresh(): string {
  const topic = TOPICS.shift();
  if (topic === undefined) throw new Error('more questions than topics');
  return `Tell me about ${topic}.`;
}

describe('the same question', () => {
  it('has the same answer again, with an id and a head of its own', async () => {
    const question = fresh();
    const [first, second] = [await ask(question), await ask(question)];
    expect(first.state).toMatch(/^miss; category=/);
    expect(second.state).toMatch(
      /^hit; level=exact; category=[\w-]+; similarity=1\.000; age=\d+; id=[\w-]{36}$/,
    );
    expect(second.content).toBe(first.content);
    expect(second.content).not.toBe('');
    expect(second.body.usage).toEqual(first.body.usage);
    expect(second.body.choices[0]?.finish_reason).toBe(first.body.choices[0]?.finish_reason);
    expect(second.body.id).not.toBe(first.body.id);
  });

  it('is answered as a stream where that is asked for, in pieces, whoever had it first', async () => {
    const question = fresh();
    const whole = await ask(question);
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'key-a', maxRetries: 0 });
    const { data: stream, response } = await client.chat.completions
      .create({
        model: 'base',
        messages: [{ role: 'user', content: question }],
        temperature: 0,
        max_tokens: 24,
        stream: true,
        stream_options: { include_usage: true },
      })
      .withResponse();
    expect(response.headers.get('x-polylora-cache')).toMatch(/^hit; level=exact/);
    const pieces: string[] = [];
    let finish: string | null = null;
    let usage: unknown = null;
    for await (const chunk of stream) {
      const text = chunk.choices[0]?.delta.content ?? '';
      if (text !== '') pieces.push(text);
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    expect(pieces.join('')).toBe(whole.content);
    expect(pieces.length).toBeGreaterThan(3);
    expect(finish).toBe(whole.body.choices[0]?.finish_reason);
    expect(usage).toEqual(whole.body.usage);
  });

  it('is answered by /v1/completions and /v1/responses, too', async () => {
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'key-a', maxRetries: 0 });
    const cache = { category: 'general' };
    const text = { model: 'base', prompt: fresh(), temperature: 0, max_tokens: 12, cache };
    const response = { model: 'base', input: fresh(), temperature: 0, max_output_tokens: 16, cache };
    const texts = [];
    const states = [];
    for (let i = 0; i < 2; i++) {
      const one = await client.completions.create(text).withResponse();
      const other = await client.responses.create(response).withResponse();
      texts.push([one.data.choices[0]?.text, other.data.output_text]);
      states.push([one, other].map((each) => each.response.headers.get('x-polylora-cache')?.split(';')[0]));
    }
    expect(states).toEqual([
      ['miss', 'miss'],
      ['hit', 'hit'],
    ]);
    expect(texts[1]).toEqual(texts[0]);
  });

  it('is made once for all who ask at the same time', async () => {
    const before = await metric(gateway, 'vllm:generation_tokens_total');
    const question = fresh();
    const fields = { max_tokens: 100 };
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(question, { fields })));
    const states = answers.map(({ state }) => state.split('; ').slice(0, 2).join(' '));
    expect(states.filter((state) => state.startsWith('miss'))).toHaveLength(1);
    expect(states.filter((state) => state.startsWith('hit level=shared'))).toHaveLength(19);
    expect(new Set(answers.map(({ content }) => content)).size).toBe(1);
    const tokens = (await metric(gateway, 'vllm:generation_tokens_total')) - before;
    expect(tokens).toBeLessThanOrEqual(100);
  });

  it('goes on being made for the others where the first who asked leaves', async () => {
    const question = fresh();
    const leaving = new AbortController();
    const first = ask(question, { signal: leaving.signal, fields: { max_tokens: 200 } }).catch(() => null);
    await until(async () => (await metric(gateway, 'polylora_cache_flights')) === 1);
    const second = ask(question, { fields: { max_tokens: 200 } });
    await new Promise((resolve) => setTimeout(resolve, 300));
    leaving.abort();
    await first;
    const { state, content, status } = await second;
    expect(status).toBe(200);
    expect(state).toMatch(/^hit; level=shared/);
    expect(content.length).toBeGreaterThan(10);
  });
});

describe('what a client says of the cache', () => {
  it('no-cache makes the answer anew, and keeps that', async () => {
    const question = fresh();
    await ask(question);
    const old = await ask(question);
    const anew = await ask(question, { headers: { ...OF_GENERAL, 'cache-control': 'no-cache' } });
    expect(anew.state).toMatch(/^miss/);
    const after = await ask(question);
    expect(after.state).toMatch(/^hit/);
    expect(after.id).not.toBe(old.id);
  });

  it('no-store keeps nothing', async () => {
    const question = fresh();
    await ask(question, { fields: { cache: { 'no-store': true } } });
    expect((await ask(question)).state).toMatch(/^miss/);
  });

  it('max-age takes nothing older, and only-if-cached nothing else', async () => {
    const question = fresh();
    const none = await ask(question, { fields: { cache: { 'only-if-cached': true } } });
    expect([none.status, none.body.error?.code]).toEqual([504, 'not_cached']);
    await ask(question);
    expect(
      (await ask(question, { headers: { ...OF_GENERAL, 'cache-control': 'only-if-cached' } })).state,
    ).toMatch(/^hit/);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect((await ask(question, { headers: { ...OF_GENERAL, 'cache-control': 'max-age=1' } })).state).toMatch(
      /^miss/,
    );
  });

  it('ttl keeps for so long', async () => {
    const question = fresh();
    const fields = { cache: { ttl: 3 } };
    await ask(question, { fields });
    expect((await ask(question, { fields })).state).toMatch(/^hit/);
    await new Promise((resolve) => setTimeout(resolve, 3_200));
    expect((await ask(question, { fields })).state).toMatch(/^miss/);
  });

  it('a category is one that there is', async () => {
    const { status, body } = await ask(fresh(), { fields: { cache: { category: 'nonsense' } } });
    expect([status, body.error?.code]).toEqual([400, 'invalid_value']);
  });
});

describe('a category', () => {
  const of = (category: string) => ({ headers: { 'x-polylora-cache-category': category } });

  it('may not be cached, be too hot, or have had a conversation', async () => {
    const question = fresh();
    for (let i = 0; i < 2; i++) {
      expect((await ask(question, of('closed'))).state).toBe('bypass; reason=category; category=closed');
      expect((await ask(question, { ...of('cold'), fields: { temperature: 0.5 } })).state).toBe(
        'bypass; reason=temperature; category=cold',
      );
      const messages = [
        { role: 'user', content: 'hi' },
        { role: 'assistant', content: 'hello' },
        { role: 'user', content: question },
      ];
      expect((await ask('', { ...of('single'), messages })).state).toBe(
        'bypass; reason=multi-turn; category=single',
      );
    }
  });

  it('that is not cached is found out by what was said before, too', async () => {
    const messages = [
      {
        role: 'user',
        content:
          'I have a strong pain in my chest and a fever since yesterday. What are the symptoms of pneumonia?',
      },
      { role: 'assistant', content: 'See a doctor.' },
      { role: 'user', content: 'How do I reverse a list in Python?' },
    ];
    expect((await ask('', { headers: {}, messages })).state).toBe(
      'bypass; reason=category; category=medical',
    );
    expect((await ask('', { headers: {}, messages: messages.slice(2) })).state).toMatch(
      /^(miss|hit); .*category=code/,
    );
  });

  it('forgets after its time, or gives what is stale while it makes another', async () => {
    const [short, stale] = [fresh(), fresh()];
    await ask(short, of('short'));
    expect((await ask(short, of('short'))).state).toMatch(/^hit/);
    await ask(stale, of('stale'));
    await new Promise((resolve) => setTimeout(resolve, 3_200));
    expect((await ask(short, of('short'))).state).toMatch(/^miss/);
    const first = await ask(stale, of('stale'));
    expect(first.state).toMatch(/^hit.*; stale$/);
    await until(async () => {
      const { state, id } = await ask(stale, of('stale'));
      return id !== first.id && state.startsWith('hit');
    });
  });
});

describe('another', () => {
  const others: Readonly<Record<string, Asked>> = {
    tenant: { key: 'key-b' },
    adapter: { fields: { model: 'pirate' } },
    temperature: { fields: { temperature: 0.1 } },
    'length of answers': { fields: { max_tokens: 25 } },
    seed: { fields: { seed: 5 } },
    'response format': { fields: { response_format: { type: 'json_object' } } },
    'cache salt': { fields: { cache_salt: 'x' } },
    stop: { fields: { stop: ['zzz'] } },
    tools: {
      fields: { tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }] },
    },
  };
  const question = 'Which colours are in the flag of Italy?';

  it.each(Object.entries(others))('%s never gets it', async (_, other) => {
    await ask(question);
    expect((await ask(question)).state).toMatch(/^hit/);
    expect((await ask(question, other)).state).toMatch(/^(miss|bypass)/);
    // But its own.
    expect((await ask(question, other)).state).toMatch(/^(hit; level=exact|bypass)/);
  });

  it('system prompt or conversation never gets it', async () => {
    await ask(question);
    for (const before of [
      [{ role: 'system', content: 'Answer in one word.' }],
      [
        { role: 'user', content: 'hi' },
        { role: 'assistant', content: 'hello' },
      ],
    ]) {
      const messages = [...before, { role: 'user', content: question }];
      expect((await ask('', { messages })).state).toMatch(/^(miss|bypass)/);
    }
  });
});

describe('a similar question', () => {
  const of = { headers: { 'x-polylora-cache-category': 'factual' } };

  it('is answered where it asks for the same, and not where it looks alike', async () => {
    const first = await ask('What is the largest desert in South America?', of);
    const same = await ask("What's the largest desert in South America?", of);
    expect(same.state).toMatch(/^hit; level=similar; category=factual; similarity=0\.\d{3}/);
    expect(same.content).toBe(first.content);
    for (const other of [
      'What is the largest desert in North America?',
      'What is the smallest desert in South America?',
      'What is the largest lake in South America?',
    ]) {
      expect((await ask(other, of)).state).toMatch(/^miss/);
    }
    const strict = { ...of, fields: { cache: { 'similarity-threshold': 1 } } };
    expect((await ask('what is the largest desert in South America', strict)).state).toMatch(/^miss/);
  });

  it('of another tenant is not', async () => {
    await ask('What is the deepest lake in Asia?', of);
    expect((await ask("What's the deepest lake in Asia?", { ...of, key: 'key-b' })).state).toMatch(/^miss/);
    expect((await ask("What's the deepest lake in Asia?", of)).state).toMatch(/^hit/);
  });
});

describe('after a restart', () => {
  it(
    'what was answered is there, for the same question and for similar ones',
    async () => {
      const of = { headers: { 'x-polylora-cache-category': 'factual' } };
      const first = await ask('What is the tallest waterfall in Africa?', of);
      // The store has it a moment later.
      await new Promise((resolve) => setTimeout(resolve, 500));
      await gateway.stop();
      await start();
      const same = await ask('What is the tallest waterfall in Africa?', of);
      const similar = await ask("What's the tallest waterfall in Africa?", of);
      expect(same.state).toMatch(/^hit; level=exact/);
      expect(similar.state).toMatch(/^hit; level=similar/);
      expect([same.content, similar.content]).toEqual([first.content, first.content]);
    },
    START_MILLISECONDS,
  );
});
