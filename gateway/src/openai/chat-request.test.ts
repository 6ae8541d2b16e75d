import { describe, expect, it } from 'vitest';
import { ApiError } from '../errors.ts';
import { readChatRequest } from './chat-request.ts';

const VOCAB = 1000;
const HELLO = { messages: [{ role: 'user', content: 'Hello' }] };

function read(fields: object) {
  return readChatRequest({ ...HELLO, ...fields }, VOCAB);
}

/** The code, param and message of the refusal. */
function refusal(fields: object): [string, string | null, string] {
  try {
    read(fields);
  } catch (error) {
    if (error instanceof ApiError) return [error.code, error.param, error.message];
    throw error;
  }
  throw new Error('was not refused');
}

/** JSON that nests so many levels deep; brackets in strings are none. */
const deep = (levels: number) => `{"[[{{":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
const deepCall = (levels: number) => ({
  id: 'c',
  type: 'function',
  function: { name: 'f', arguments: deep(levels) },
});
const CALLED = { role: 'assistant', content: null, tool_calls: [deepCall(100)] };

describe('readChatRequest', () => {
  it('fills what the client leaves out', () => {
    const { sampling, ...rest } = read({});
    expect(rest).toEqual({
      prompt: { kind: 'chat', messages: HELLO.messages },
      account: null,
      choices: 1,
      stream: false,
      includeUsage: false,
      userHash: null,
    });
    expect(sampling).toEqual({
      temperature: 1,
      topP: 1,
      topK: 0,
      minP: 0,
      presencePenalty: 0,
      frequencyPenalty: 0,
      repetitionPenalty: 1,
      logitBias: [],
      seed: expect.any(Number),
      maxTokens: null,
      minTokens: 0,
      stop: [],
      stopTokenIds: [],
      includeStop: false,
      ignoreEos: false,
      logprobs: null,
      promptLogprobs: null,
      constraint: null,
    });
  });

  it('reads every sampling field', () => {
    const { sampling, choices } = read({
      temperature: 0,
      top_p: 0.5,
      top_k: -1,
      min_p: 0.1,
      presence_penalty: -2,
      frequency_penalty: 2,
      repetition_penalty: 1.1,
      logit_bias: { 5: -100, 7: 1.5 },
      seed: 42,
      max_completion_tokens: 9,
      max_tokens: 12,
      min_tokens: 2,
      stop: ['a', 'b'],
      stop_token_ids: [3],
      include_stop_str_in_output: true,
      ignore_eos: true,
      logprobs: true,
      top_logprobs: 20,
      n: 16,
    });
    expect(choices).toBe(16);
    expect(sampling).toMatchObject({
      temperature: 0,
      topP: 0.5,
      topK: 0,
      minP: 0.1,
      presencePenalty: -2,
      frequencyPenalty: 2,
      repetitionPenalty: 1.1,
      logitBias: [
        [5, -100],
        [7, 1.5],
      ],
      seed: 42,
      maxTokens: 9,
      minTokens: 2,
      stop: ['a', 'b'],
      stopTokenIds: [3],
      includeStop: true,
      ignoreEos: true,
      logprobs: 20,
    });
  });

  it('takes null for absent, and fields it does not know', () => {
    const nulls = { temperature: null, stop: null, n: null, tools: null, stream_options: null, seed: null };
    expect(read({ ...nulls, user: 'u', metadata: { a: 'b' }, store: false, made_up: [1] }).choices).toBe(1);
  });

  it('knows a user by a hash alone', () => {
    const [alice, bob] = [read({ user: 'alice' }), read({ safety_identifier: 'bob', user: 'alice' })];
    expect(alice.userHash).toMatch(/^[0-9a-f]{16}$/);
    expect(bob.userHash).not.toBe(alice.userHash);
    expect(read({ safety_identifier: 'alice' }).userHash).toBe(alice.userHash);
  });

  it('takes every int64 as a seed, and draws one where there is none', () => {
    expect(read({ seed: 7 }).sampling.seed).toBe(7);
    for (const seed of [-1, 2 ** 63, -(2 ** 63)]) {
      expect(Number.isSafeInteger(read({ seed }).sampling.seed)).toBe(true);
    }
    expect(read({}).sampling.seed).not.toBe(read({}).sampling.seed);
  });

  it('joins text parts', () => {
    const content = [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ];
    expect(read({ messages: [{ role: 'system', content, name: 'n' }] }).prompt).toEqual({
      kind: 'chat',
      messages: [{ role: 'system', content: 'a\nb', name: 'n' }],
    });
  });

  it.each([
    [{ messages: undefined }, 'missing_required_parameter', 'messages'],
    [{ messages: [] }, 'empty_array', 'messages'],
    [{ messages: 'hi' }, 'invalid_type', 'messages'],
    [{ messages: ['hi'] }, 'invalid_type', 'messages[0]'],
    [{ messages: [{ content: 'hi' }] }, 'missing_required_parameter', 'messages[0].role'],
    [{ messages: [{ role: 'robot', content: 'hi' }] }, 'invalid_value', 'messages[0].role'],
    [{ messages: [{ role: 'user' }] }, 'missing_required_parameter', 'messages[0].content'],
    [{ messages: [{ role: 'user', content: 1 }] }, 'invalid_type', 'messages[0].content'],
    [{ messages: [{ role: 'user', content: [] }] }, 'empty_array', 'messages[0].content'],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
      'unsupported_parameter',
      'messages[0].content[0].type',
    ],
    [
      { messages: [{ role: 'assistant', content: null, tool_calls: [{}] }] },
      'missing_required_parameter',
      'messages[0].tool_calls[0].id',
    ],
    [
      { messages: [CALLED, { ...CALLED, tool_calls: [CALLED.tool_calls[0], deepCall(101)] }] },
      'json_too_deep',
      'messages[1].tool_calls[1].function.arguments',
    ],
    [{ guided_json: deep(101) }, 'json_too_deep', 'guided_json'],
    [{ temperature: '1' }, 'invalid_type', 'temperature'],
    [{ temperature: 2.1 }, 'decimal_above_max_value', 'temperature'],
    [{ top_p: -0.1 }, 'decimal_below_min_value', 'top_p'],
    [{ repetition_penalty: 0 }, 'decimal_below_min_value', 'repetition_penalty'],
    [{ repetition_penalty: 1e-308 }, 'decimal_below_min_value', 'repetition_penalty'],
    [{ n: 0 }, 'integer_below_min_value', 'n'],
    [{ n: 1_000_000 }, 'integer_above_max_value', 'n'],
    [{ n: 1.5 }, 'invalid_type', 'n'],
    [{ max_tokens: 0 }, 'integer_below_min_value', 'max_tokens'],
    [{ max_tokens: 4, min_tokens: 5 }, 'invalid_value', 'min_tokens'],
    [{ stop: '' }, 'empty_string', 'stop'],
    [{ stop: ['a', ''] }, 'empty_string', 'stop[1]'],
    [{ stop: Array(17).fill('a') }, 'array_above_max_length', 'stop'],
    [{ stop: 'x'.repeat(1025) }, 'string_above_max_length', 'stop'],
    [{ stop_token_ids: [VOCAB] }, 'integer_above_max_value', 'stop_token_ids[0]'],
    [{ logit_bias: { x: 1 } }, 'invalid_value', 'logit_bias'],
    [{ logit_bias: { 5: 101 } }, 'decimal_above_max_value', 'logit_bias.5'],
    [{ logit_bias: { [VOCAB]: 1 } }, 'integer_above_max_value', `logit_bias.${VOCAB}`],
    [{ logit_bias: [] }, 'invalid_type', 'logit_bias'],
    [{ metadata: { a: 1 } }, 'invalid_type', 'metadata.a'],
    [{ user: 5 }, 'invalid_type', 'user'],
    [{ seed: 0.5 }, 'invalid_type', 'seed'],
    [{ top_logprobs: 2 }, 'invalid_value', 'top_logprobs'],
    [{ logprobs: true, top_logprobs: 21 }, 'integer_above_max_value', 'top_logprobs'],
    [{ logprobs: 5 }, 'invalid_type', 'logprobs'],
    [{ stream: 'yes' }, 'invalid_type', 'stream'],
    [{ stream_options: { include_usage: true } }, 'invalid_value', 'stream_options'],
    [{ tools: [{ type: 'function' }] }, 'missing_required_parameter', 'tools[0].function'],
    [{ tools: [{ type: 'custom' }] }, 'unsupported_parameter', 'tools[0].type'],
    [{ tools: [{ type: 'function', function: { name: 'a b' } }] }, 'invalid_value', 'tools[0].function.name'],
    [{ tool_choice: 'maybe' }, 'invalid_type', 'tool_choice'],
    [{ functions: [{ name: 'f' }] }, 'unsupported_parameter', 'functions'],
    [{ function_call: 'auto' }, 'unsupported_parameter', 'function_call'],
    [{ response_format: { type: 'xml' } }, 'invalid_value', 'response_format.type'],
    [{ guided_choice: [] }, 'empty_array', 'guided_choice'],
    [{ guided_json: '{' }, 'invalid_value', 'guided_json'],
    [{ modalities: ['text', 'audio'] }, 'unsupported_parameter', 'modalities'],
    [{ guided_whitespace_pattern: ' ' }, 'unsupported_parameter', 'guided_whitespace_pattern'],
    [{ bad_words: ['no'] }, 'unsupported_parameter', 'bad_words'],
    [{ allowed_token_ids: [1] }, 'unsupported_parameter', 'allowed_token_ids'],
    [{ skip_special_tokens: false }, 'unsupported_parameter', 'skip_special_tokens'],
    [{ store: true }, 'unsupported_parameter', 'store'],
  ])('refuses %j with %s', (fields, code, param) => {
    expect(refusal(fields).slice(0, 2)).toEqual([code, param]);
  });

  it("uses OpenAI's words", () => {
    expect(refusal({ functions: [{ name: 'f' }] })[2]).toContain("which has 'tools' for it");
    expect(refusal({ temperature: 'x' })[2]).toBe(
      "Invalid type for 'temperature': expected a number, but got a string instead.",
    );
    expect(refusal({ n: 129 })[2]).toBe(
      "Invalid 'n': integer above maximum value. Expected a value <= 16, but got 129 instead.",
    );
    expect(refusal({ messages: undefined })[2]).toBe("Missing required parameter: 'messages'.");
  });

  it('accepts neutral values of fields it does not support', () => {
    read({ tools: [], tool_choice: 'none', response_format: { type: 'text' }, modalities: ['text'] });
  });
});
