import { describe, expect, it } from 'vitest';
import { ApiError } from '../errors.ts';
import { readCompletionRequest } from './completion-request.ts';

const VOCAB = 1000;

function read(fields: object) {
  return readCompletionRequest({ prompt: 'Hi', ...fields }, VOCAB);
}

function refusal(fields: object): [string, string | null] {
  try {
    read(fields);
  } catch (error) {
    if (error instanceof ApiError) return [error.code, error.param];
    throw error;
  }
  throw new Error('was not refused');
}

describe('readCompletionRequest', () => {
  it.each([
    ['Hi', [{ kind: 'text', text: 'Hi' }]],
    [
      ['a', 'b'],
      [
        { kind: 'text', text: 'a' },
        { kind: 'text', text: 'b' },
      ],
    ],
    [[1, 2], [{ kind: 'tokens', ids: [1, 2] }]],
    [
      [[1], [2, 3]],
      [
        { kind: 'tokens', ids: [1] },
        { kind: 'tokens', ids: [2, 3] },
      ],
    ],
  ])('reads the prompt %j', (prompt, prompts) => {
    expect(read({ prompt }).prompts).toEqual(prompts);
  });

  it("limits to OpenAI's 16 tokens unless told otherwise", () => {
    expect(read({}).sampling.maxTokens).toBe(16);
    expect(read({ max_tokens: 0 }).sampling.maxTokens).toBe(0);
  });

  it('scores the prompt when it is echoed with logprobs', () => {
    expect(read({ echo: true, logprobs: 3 }).sampling).toMatchObject({ logprobs: 3, promptLogprobs: 3 });
    expect(read({ logprobs: 3 }).sampling).toMatchObject({ logprobs: 3, promptLogprobs: null });
    expect(read({ echo: true }).sampling).toMatchObject({ logprobs: null, promptLogprobs: null });
  });

  it.each([
    [{ prompt: undefined }, 'missing_required_parameter', 'prompt'],
    [{ prompt: 5 }, 'invalid_type', 'prompt'],
    [{ prompt: [] }, 'empty_array', 'prompt'],
    [{ prompt: [{}] }, 'invalid_type', 'prompt'],
    [{ prompt: ['a', 1] }, 'invalid_type', 'prompt[1]'],
    [{ prompt: [1, 'a'] }, 'invalid_type', 'prompt[1]'],
    [{ prompt: [VOCAB] }, 'integer_above_max_value', 'prompt[0]'],
    [{ prompt: [[1], []] }, 'empty_array', 'prompt[1]'],
    [{ prompt: [[1], [-1]] }, 'integer_below_min_value', 'prompt[1][0]'],
    [{ prompt: Array(2049).fill('a') }, 'array_above_max_length', 'prompt'],
    [{ suffix: 'x' }, 'unsupported_parameter', 'suffix'],
    [{ add_special_tokens: false }, 'unsupported_parameter', 'add_special_tokens'],
    [{ min_tokens: 17 }, 'invalid_value', 'min_tokens'],
    [{ n: 2, best_of: 1 }, 'invalid_value', 'best_of'],
    [{ best_of: 2, stream: true }, 'invalid_value', 'best_of'],
    [{ best_of: 17 }, 'integer_above_max_value', 'best_of'],
    [{ logprobs: true }, 'invalid_type', 'logprobs'],
    [{ logprobs: 21 }, 'integer_above_max_value', 'logprobs'],
  ])('refuses %j', (fields, code, param) => {
    expect(refusal(fields)).toEqual([code, param]);
  });

  it('makes as many answers as best_of asks for', () => {
    expect(read({ n: 2 })).toMatchObject({ choices: 2, candidates: 2 });
    expect(read({ n: 2, best_of: 5 })).toMatchObject({ choices: 2, candidates: 5 });
    expect(read({ n: 2, best_of: 2, stream: true })).toMatchObject({ choices: 2, candidates: 2 });
  });
});
