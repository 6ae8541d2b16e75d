import { describe, expect, it } from 'vitest';
import type { GgufValue } from './gguf.ts';
import { GgufMetadata } from './gguf-metadata.ts';
import { readGgufText } from './gguf-tokenizer.ts';

const BYTE_LEVEL: Record<string, GgufValue> = {
  'tokenizer.ggml.model': 'gpt2',
  'tokenizer.ggml.pre': 'llama-bpe',
  'tokenizer.ggml.tokens': ['a', 'b', 'ab', '__proto__', '<|eot_id|>', '<think>', '<|begin|>', 'Ġ b'],
  'tokenizer.ggml.token_type': [1, 1, 1, 1, 3, 4, 3, 1],
  'tokenizer.ggml.merges': ['a b'],
  'tokenizer.ggml.bos_token_id': 6,
  'tokenizer.ggml.eos_token_id': 6,
};

function read(changes: Record<string, GgufValue> = {}) {
  return readGgufText(new GgufMetadata(new Map(Object.entries({ ...BYTE_LEVEL, ...changes }))));
}

describe('GGUF tokenizer', () => {
  it('keeps every token under its id, control tokens apart from user-defined ones', () => {
    const { tokenizerJson } = read();
    const tokenizer = JSON.parse(tokenizerJson);
    expect(tokenizerJson).toContain('"__proto__":3');
    expect(tokenizer.model.merges).toEqual([['a', 'b']]);
    expect(
      tokenizer.added_tokens.map((token: { id: number; special: boolean }) => [token.id, token.special]),
    ).toEqual([
      [4, true],
      [5, false],
      [6, true],
    ]);
  });

  it("ends an answer at the file's end token and at those known by name", () => {
    expect(read()).toMatchObject({ bosToken: '<|begin|>', eosToken: '<|begin|>', eosTokenIds: [6, 4] });
    expect(read({ 'tokenizer.ggml.eot_token_id': 5 }).eosTokenIds).toEqual([6, 5, 4]);
  });

  it('adds the begin token where the file or its kind says so', () => {
    const begins = (changes: Record<string, GgufValue>) =>
      JSON.parse(read(changes).tokenizerJson).post_processor?.single?.[0]?.SpecialToken?.id ?? null;
    expect(begins({})).toBe('<|begin|>');
    expect(begins({ 'tokenizer.ggml.add_bos_token': false })).toBeNull();
    expect(begins({ 'tokenizer.ggml.pre': 'qwen2' })).toBeNull();
    expect(begins({ 'tokenizer.ggml.pre': 'qwen2', 'tokenizer.ggml.add_bos_token': true })).toBe('<|begin|>');
  });

  it('has no chat template where the file has none', () => {
    expect(read().chatTemplate).toBeNull();
    expect(read({ 'tokenizer.chat_template': '{{ x }}' }).chatTemplate).toBe('{{ x }}');
  });

  it.each([
    [{ 'tokenizer.ggml.model': 't5' }, 'model_not_supported', 'tokenizer t5 is not supported'],
    [{ 'tokenizer.ggml.pre': 'falcon3' }, 'model_not_supported', 'pre-tokenizer falcon3 is not supported'],
    [{ 'tokenizer.ggml.token_type': [1] }, 'model_corrupt', '8 tokens have 1 types'],
    [{ 'tokenizer.ggml.bos_token_id': 99 }, 'model_corrupt', 'bos_token_id is 99, which is no token'],
    [{ 'tokenizer.ggml.merges': ['ab'] }, 'model_corrupt', 'merge "ab" has no two parts'],
    [{ 'tokenizer.ggml.tokens': [1, 2] }, 'model_corrupt', 'tokenizer.ggml.tokens is not a list of strings'],
  ])('refuses %j', (changes, code, message) => {
    expect(() => read(changes)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    );
  });
});
