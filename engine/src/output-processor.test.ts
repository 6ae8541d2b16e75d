import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@polylora/engine-native';
import { describe, expect, it } from 'vitest';
import { GREEDY } from '../../test/support/sampling.ts';
import type { StepToken } from './model-runner.ts';
import { OutputProcessor, TokenTexts } from './output-processor.ts';
import { Sequence } from './scheduling/sequence.ts';
import type { GenerationEvent, SamplingParams } from './types.ts';

const TOKENIZER = join(import.meta.dirname, '../../test/fixtures/models/llama-tied/tokenizer.json');
const tokenizer = new Tokenizer(readFileSync(TOKENIZER));
const texts = new TokenTexts(tokenizer);
const encode = (text: string) => [...tokenizer.encode(text, false)];
const PROMPT = encode('the prompt');
const [EOS] = encode('<|im_end|>') as [number];

function open(sampling: Partial<SamplingParams>): { sequence: Sequence; output: OutputProcessor } {
  const sequence = new Sequence({
    id: 'test',
    handle: 0,
    prompt: Uint32Array.from(PROMPT),
    adapter: null,
    sampling: { ...GREEDY, ...sampling },
    maxTokens: sampling.maxTokens ?? 100,
    tenant: 'test',
    weight: 1,
    priority: 'normal',
    prefixRoot: null,
    lengthKeys: [''],
    arrived: 0,
    deadline: null,
  });
  return { sequence, output: new OutputProcessor(sequence, tokenizer, texts, new Set([EOS])) };
}

const chosen = (token: number): StepToken => ({ token, logprob: -0.5, top: [] });

/** Gives the tokens one by one, until the end comes. */
function run(ids: readonly number[], sampling: Partial<SamplingParams>) {
  const { sequence, output } = open(sampling);
  const events: GenerationEvent[] = [];
  for (const id of ids) {
    sequence.output.push(id);
    events.push(...output.accept(chosen(id)));
    if (events.at(-1)!.type === 'finish') break;
  }
  const pieces = events.flatMap((event) => (event.type === 'delta' ? [event.text] : []));
  const [finish] = events.flatMap((event) => (event.type === 'finish' ? [event] : []));
  return {
    pieces,
    text: pieces.join(''),
    tokens: sequence.output.length,
    reason: finish?.reason ?? null,
    stopReason: finish?.stopReason ?? null,
  };
}

describe('a token that ends a text', () => {
  const [z] = encode('z') as [number];

  it('is left out of the text, or in it where that is asked for', () => {
    const expected = { tokens: 2, reason: 'stop', stopReason: z };
    expect(run(encode('yzx'), { stopTokenIds: [z] })).toMatchObject({ ...expected, text: 'y' });
    expect(run(encode('yzx'), { stopTokenIds: [z], includeStop: true })).toMatchObject({
      ...expected,
      text: 'yz',
    });
  });

  it('may be the end-of-sequence token, which gives no reason of its own', () => {
    const ids = encode('y<|im_end|>z');
    expect(run(ids, {})).toMatchObject({ text: 'y', tokens: 2, reason: 'stop', stopReason: null });
    expect(run(ids, { stopTokenIds: [EOS] })).toMatchObject({ tokens: 2, stopReason: EOS });
  });

  it('is not the end-of-sequence token where that is ignored', () => {
    const ids = encode('y<|im_end|>z');
    expect(run(ids, { ignoreEos: true })).toMatchObject({ text: 'yz', tokens: 3, reason: null });
    // A stop token stays one.
    expect(run(ids, { ignoreEos: true, stopTokenIds: [EOS] })).toMatchObject({ tokens: 2, stopReason: EOS });
  });

  it('gives out what was held back for a stop string', () => {
    expect(run(encode('xy<|im_end|>'), { stop: ['yz'] }).pieces).toEqual(['x', '', 'y']);
  });
});

describe('a stop string', () => {
  const text = 'a parrot was here, 東京 🙂, in order';

  it('never shows, wherever the tokens cut it', () => {
    const characters = [...text];
    for (let start = 0; start < characters.length; start++) {
      for (let end = start + 1; end <= Math.min(start + 7, characters.length); end++) {
        const stop = characters.slice(start, end).join('');
        const at = text.indexOf(stop);
        const result = run(encode(text), { stop: [stop] });
        expect(result).toMatchObject({ text: text.slice(0, at), reason: 'stop', stopReason: stop });
        expect(run(encode(text), { stop: [stop], includeStop: true }).text).toBe(
          text.slice(0, at + stop.length),
        );
      }
    }
  });

  it('counts once it ends after the least number of tokens, wherever it begins', () => {
    const ids = encode('xyzxyz');
    expect(ids).toHaveLength(6);
    const stopped = (minTokens: number) => run(ids, { stop: ['yz'], minTokens, maxTokens: 6 });
    for (const minTokens of [0, 1, 2]) {
      expect(stopped(minTokens)).toMatchObject({ text: 'x', tokens: 3, stopReason: 'yz' });
    }
    for (const minTokens of [3, 4, 5]) {
      expect(stopped(minTokens)).toMatchObject({ text: 'xyzx', tokens: 6, stopReason: 'yz' });
    }
    expect(stopped(6)).toMatchObject({ text: 'xyzxyz', reason: 'length', stopReason: null });
    expect(run(encode('zzz'), { stop: ['zz'], minTokens: 2 })).toMatchObject({ text: 'z', tokens: 3 });
  });
});

describe('the limit on new tokens', () => {
  it('ends a text, with what was held back', () => {
    const result = run(encode('xyzw'), { stop: ['yz!'], maxTokens: 3 });
    expect(result).toMatchObject({ text: 'xyz', tokens: 3, reason: 'length', stopReason: null });
  });

  it('shows a character it cuts as U+FFFD, which may complete a stop string', () => {
    const ids = encode('y🙂');
    expect(run(ids, { maxTokens: ids.length - 1 })).toMatchObject({ text: 'y\ufffd', reason: 'length' });
    const stop = 'y\ufffd';
    expect(run(ids, { maxTokens: 2, stop: [stop] })).toMatchObject({ text: '', stopReason: stop });
  });

  it('gives way to an ending that comes with the last token', () => {
    expect(run(encode('y<|im_end|>'), { maxTokens: 2 }).reason).toBe('stop');
    expect(run(encode('xy'), { maxTokens: 2, stop: ['y'] }).reason).toBe('stop');
  });
});

describe('log-probabilities', () => {
  it('of new tokens come with them, a lone byte as itself', () => {
    const { sequence, output } = open({ logprobs: 1 });
    const [first] = encode('🙂') as [number];
    const [y] = encode('y') as [number];
    sequence.output.push(first);
    const token = { token: first, logprob: -0.25, top: [{ id: y, logprob: -0.125 }] };
    const [delta] = output.accept(token);
    const lone = { id: first, logprob: -0.25, text: '\ufffd', bytes: [0xf0] };
    const top = [{ id: y, logprob: -0.125, text: 'y', bytes: [0x79] }];
    expect(delta).toEqual({ type: 'delta', text: '', tokenIds: [first], logprobs: [{ ...lone, top }] });
  });

  it('of the prompt come once, when all are known; its first token has none', () => {
    const { sequence, output } = open({ promptLogprobs: 0 });
    const scored = PROMPT.slice(1).map(chosen);
    expect(output.acceptPrompt(scored.slice(0, 2))).toEqual([]);
    expect(sequence.scored).toBe(3);
    const [event, ...others] = output.acceptPrompt(scored.slice(2));
    expect(others).toEqual([]);
    if (event?.type !== 'prompt') throw new Error('no prompt event');
    expect(event.logprobs.map((token) => token?.id ?? null)).toEqual([null, ...PROMPT.slice(1)]);
    expect(event.logprobs.map((token) => token?.text ?? 't').join('')).toBe('the prompt');
    expect(output.acceptPrompt([])).toEqual([]);
  });

  it('of the prompt stay away where nobody asked', () => {
    expect(open({}).output.acceptPrompt([])).toEqual([]);
  });
});

it('counts the tokens used when it ends', () => {
  const { sequence, output } = open({});
  sequence.output.push(...encode('xyz'));
  const usage = { promptTokens: PROMPT.length, completionTokens: 3, cachedPromptTokens: 0 };
  expect(output.finish('abort', null)).toEqual({
    type: 'finish',
    reason: 'abort',
    stopReason: null,
    usage,
    queuedSeconds: 0,
  });
});
