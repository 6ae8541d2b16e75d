import type { Prompt } from '@polylora/engine';
import { describe, expect, it } from 'vitest';
import type { BackendEvent, BackendRequest } from '../backends/backend.ts';
import { askedOf } from './asked.ts';
import { Meter } from './meter.ts';

const MODEL = { maxModelLen: 100 } as Parameters<typeof askedOf>[0];

function request(prompt: Prompt, maxTokens: number | null = 10): BackendRequest {
  return { prompt, sampling: { maxTokens } } as BackendRequest;
}

const HELLO: Prompt = { kind: 'chat', messages: [{ role: 'user', content: 'héllo' }] };
const delta: BackendEvent = { type: 'delta', text: 'x', tokens: 2, logprobs: null };
const finish: BackendEvent = {
  type: 'finish',
  reason: 'stop',
  stopReason: null,
  usage: { promptTokens: 9, completionTokens: 3, cachedPromptTokens: 4 },
  queuedSeconds: 0,
};

describe('what a request may use', () => {
  it('counts a prompt once, by its bytes, and each answer', () => {
    const ids: Prompt = { kind: 'tokens', ids: [1, 2, 3] };
    expect(askedOf(MODEL, [request(ids), request(ids), request(ids, 5)])).toMatchObject({
      promptTokens: 3,
      completionTokens: 25,
    });
    const { promptTokens } = askedOf({ ...MODEL, maxModelLen: 10_000 }, [request(HELLO)]);
    expect(promptTokens).toBeGreaterThanOrEqual(6 + 4);
    expect(promptTokens).toBeLessThan(300);
  });

  it('is no more than the context, and all of it where no end is given', () => {
    const long: Prompt = { kind: 'tokens', ids: Array.from({ length: 500 }, () => 1) };
    expect(askedOf(MODEL, [request(long, null)])).toMatchObject({ promptTokens: 100, completionTokens: 100 });
    expect(askedOf(MODEL, [request(HELLO, 9_999)]).completionTokens).toBe(100);
    const unknown = { ...MODEL, maxModelLen: null };
    expect(askedOf(unknown, [request(HELLO, 99_999)]).completionTokens).toBe(99_999);
    expect(askedOf(unknown, [request(HELLO, null)]).completionTokens).toBe(8_192);
  });
});

describe('what a request used', () => {
  it('is what its end says, or what came until it was left', () => {
    const meter = new Meter([request(HELLO), request(HELLO)], 100);
    meter.take(0, { type: 'start', promptTokens: 9, promptText: null });
    meter.take(1, { type: 'start', promptTokens: 9, promptText: null });
    meter.take(0, delta);
    meter.take(0, finish);
    meter.take(1, delta);
    meter.take(1, delta);
    expect(meter.used()).toEqual({ promptTokens: 9, cachedPromptTokens: 4, completionTokens: 3 + 4 });
  });

  it('is nothing where it was refused, and a guess where only its end would have told', () => {
    const refusal: BackendEvent = {
      type: 'error',
      code: 'engine_unavailable',
      message: '',
      retryAfterSeconds: null,
    };
    const refused = new Meter([request(HELLO)], 100);
    refused.begin(0, () => 7);
    refused.take(0, refusal);
    expect(refused.used()).toEqual({ promptTokens: 0, cachedPromptTokens: 0, completionTokens: 0 });
    const unsent = new Meter([request(HELLO)], 100);
    expect(unsent.used()).toEqual({ promptTokens: 0, cachedPromptTokens: 0, completionTokens: 0 });
    const left = new Meter([request(HELLO)], 100);
    left.begin(0, () => 7);
    left.take(0, { type: 'start', promptTokens: null, promptText: null });
    left.take(0, delta);
    expect(left.used()).toEqual({ promptTokens: 25, cachedPromptTokens: 0, completionTokens: 2 });
  });

  it('is what another server has probably computed, of the choices that it may have begun', () => {
    const meter = new Meter([request(HELLO), request(HELLO), request(HELLO)], 100);
    // Of three choices of one prompt the first was never sent: the others had it read all the same.
    meter.begin(1, () => 7);
    meter.begin(2, () => 5);
    expect(meter.used()).toEqual({ promptTokens: 25, cachedPromptTokens: 0, completionTokens: 12 });
    // What is told counts, and not what was guessed.
    meter.take(2, delta);
    expect(meter.used().completionTokens).toBe(9);
  });
});
