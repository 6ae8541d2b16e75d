import type { ChatMessage, Prompt, SamplingParams } from '@polylora/engine';
import { expect, test } from 'vitest';
import { GREEDY } from '../../../test/support/sampling.ts';
import type { BackendModel, BackendRequest } from '../backends/backend.ts';
import { type QuestionOptions, questionOf } from './question.ts';

const MODEL: BackendModel = {
  id: 'acme/support',
  parent: 'base',
  root: 'a'.repeat(64),
  created: 1,
  maxModelLen: 2048,
  vocabSize: 1000,
  mixture: null,
  fingerprint: 'fp_1',
  task: 'generate',
};

function chat(...messages: readonly (readonly [ChatMessage['role'], string])[]): Prompt {
  return { kind: 'chat', messages: messages.map(([role, content]) => ({ role, content })) };
}

const HELLO = chat(['system', 'Be kind.'], ['user', 'hello']);

interface Changes {
  readonly prompt?: Prompt;
  readonly sampling?: Partial<SamplingParams>;
  readonly salt?: string | null;
  readonly options?: Partial<QuestionOptions>;
}

function ask({ prompt = HELLO, sampling, salt = null, options }: Changes = {}) {
  const request: BackendRequest = {
    id: 'r',
    prompt,
    sampling: { ...GREEDY, ...sampling },
    scheduling: {
      tenant: 'acme',
      weight: 1,
      priority: 'normal',
      cacheSalt: salt,
      category: null,
      timeoutSeconds: null,
    },
    echo: false,
  };
  return questionOf({
    tenant: 'acme',
    server: 'embedded',
    model: MODEL,
    requests: [request],
    isSeeded: false,
    ...options,
  });
}

test('the last user message may be similar, and nothing else', () => {
  const base = ask()!;
  expect(base.text).toBe('hello');
  expect(ask()).toEqual(base);
  const other = ask({ prompt: chat(['system', 'Be kind.'], ['user', 'hi']) })!;
  expect(other.partition).toBe(base.partition);
  expect(other.exactKey).not.toBe(base.exactKey);
});

const OTHERS: Readonly<Record<string, Changes>> = {
  tenant: { options: { tenant: 'globex' } },
  server: { options: { server: 'upstream x' } },
  'adapter version': { options: { model: { ...MODEL, root: 'b'.repeat(64) } } },
  'base model': { options: { model: { ...MODEL, fingerprint: 'fp_2' } } },
  mixture: { options: { model: { ...MODEL, mixture: [{ digest: 'x', weight: 0.5 }] } } },
  salt: { salt: 'user 1' },
  'system prompt': { prompt: chat(['system', 'Be rude.'], ['user', 'hello']) },
  'no system prompt': { prompt: chat(['user', 'hello']) },
  "a system prompt that is the developer's": { prompt: chat(['developer', 'Be kind.'], ['user', 'hello']) },
  'earlier conversation': {
    prompt: chat(['system', 'Be kind.'], ['user', 'a'], ['assistant', 'b'], ['user', 'hello']),
  },
  'name of the user': {
    prompt: {
      kind: 'chat',
      messages: [
        { role: 'system', content: 'Be kind.' },
        { role: 'user', content: 'hello', name: 'Ann' },
      ],
    },
  },
  tools: {
    prompt: {
      ...(HELLO as Extract<Prompt, { kind: 'chat' }>),
      tools: {
        tools: [{ name: 'f', description: null, parameters: null, strict: false }],
        choice: 'auto',
        parallel: true,
      },
    },
  },
  'response format': { sampling: { constraint: { field: 'response_format', kind: 'json_object' } } },
  temperature: { sampling: { temperature: 0.5 } },
  'top p': { sampling: { topP: 0.9 } },
  'max tokens': { sampling: { maxTokens: 17 } },
  stop: { sampling: { stop: ['x'] } },
  'logit bias': { sampling: { logitBias: [[1, 2]] } },
  'a seed of its own': { options: { isSeeded: true } },
  'kind of prompt': { prompt: { kind: 'text', text: 'hello' } },
};

test.each(Object.entries(OTHERS))('another %s is another partition', (_, change) => {
  const [base, other] = [ask()!, ask(change)!];
  expect(other.partition).not.toBe(base.partition);
  expect(other.exactKey).not.toBe(base.exactKey);
});

test('a seed that nobody chose makes no difference, one that was chosen does', () => {
  expect(ask({ sampling: { seed: 8 } })!.exactKey).toBe(ask()!.exactKey);
  const seeded = (seed: number) => ask({ sampling: { seed }, options: { isSeeded: true } })!.exactKey;
  expect(seeded(8)).not.toBe(seeded(7));
});

test('names and texts that are chosen to collide do not', () => {
  const pairs: readonly (readonly [Changes, Changes])[] = [
    [
      { prompt: chat(['system', 'a'], ['system', 'b'], ['user', 'c']) },
      { prompt: chat(['system', 'ab'], ['system', ''], ['user', 'c']) },
    ],
    [
      { options: { tenant: 'a' }, salt: 'bc' },
      { options: { tenant: 'ab' }, salt: 'c' },
    ],
    [{ salt: 'null' }, { salt: null }],
    [{ salt: '","x' }, { salt: '\\",\\"x' }],
    [
      { options: { tenant: 'a","b' }, salt: 'c' },
      { options: { tenant: 'a' }, salt: 'b","c' },
    ],
    [{ salt: '\ud800' }, { salt: '\ufffd' }],
    [{ sampling: { stop: ['a', 'b'] } }, { sampling: { stop: ['a,b'] } }],
    [{ prompt: { kind: 'tokens', ids: [1, 23] } }, { prompt: { kind: 'tokens', ids: [12, 3] } }],
    [{ prompt: chat(['user', 'x","role":"user']) }, { prompt: chat(['user', 'x'], ['user', '']) }],
  ];
  for (const [a, b] of pairs) expect(ask(a)!.exactKey).not.toBe(ask(b)!.exactKey);
});

test('space around a question and how its characters are made up make no difference; space within does', () => {
  const key = (text: string) => ask({ prompt: chat(['user', text]) })!.exactKey;
  expect(key(' caf\u00e9\r\nau lait\n')).toBe(key('cafe\u0301\nau lait'));
  expect(key('a  b')).not.toBe(key('a b'));
  expect(key('A')).not.toBe(key('a'));
});

test('a prompt that is continued is only found by the very same one, and is about its text', () => {
  const prompt = (text: string) => ask({ prompt: { kind: 'text', text } })!;
  expect(prompt('France is')).toMatchObject({ text: 'France is', mayBeSimilar: false });
  expect(ask()!.mayBeSimilar).toBe(true);
  for (const other of ['France is ', ' France is', 'France is\n', 'france is']) {
    expect(prompt(other).exactKey).not.toBe(prompt('France is').exactKey);
  }
  expect(prompt('a\r\nb').exactKey).not.toBe(prompt('a\nb').exactKey);
  expect(prompt('caf\u00e9').exactKey).not.toBe(prompt('cafe\u0301').exactKey);
});

test('an answer to a tool, and token ids, are only found by the same request', () => {
  const result = ask({
    prompt: {
      kind: 'chat',
      messages: [
        { role: 'user', content: 'x' },
        { role: 'tool', content: 'y', toolCallId: '1' },
      ],
    },
  })!;
  expect(result).toMatchObject({ text: null, isMultiTurn: true });
  expect(ask({ prompt: { kind: 'tokens', ids: [1] } })!.text).toBeNull();
});

test('what its user has said before is read, and not what others have', () => {
  expect(ask()!.earlier).toBeNull();
  const asked = ask({
    prompt: chat(['system', 's'], ['user', 'a'], ['assistant', 'b'], ['user', 'c'], ['user', 'd']),
  });
  expect(asked).toMatchObject({ text: 'd', earlier: 'a\nc' });
  expect(ask({ prompt: chat(['user', 'a'.repeat(5_000)], ['user', 'b']) })!.earlier).toHaveLength(4_096);
});

test('only what was said before makes a conversation', () => {
  expect(ask()!.isMultiTurn).toBe(false);
  expect(ask({ prompt: chat(['user', 'a'], ['user', 'b']) })!.isMultiTurn).toBe(true);
});

test('what is more than an answer is not kept', () => {
  expect(ask({ sampling: { logprobs: 0 } })).toBeNull();
  expect(ask({ sampling: { promptLogprobs: 0 } })).toBeNull();
});
