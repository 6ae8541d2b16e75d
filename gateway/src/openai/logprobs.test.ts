import type { TokenLogprob, TokenLogprobs } from '@polylora/engine';
import { describe, expect, it } from 'vitest';
import { chatLogprobs, LegacyLogprobsWriter } from './logprobs.ts';

function token(text: string | readonly number[], logprob: number, top: TokenLogprob[] = []): TokenLogprobs {
  const bytes = [...Buffer.from(text)];
  return { id: 0, text: Buffer.from(bytes).toString(), bytes, logprob, top };
}

describe('chatLogprobs', () => {
  it("has OpenAI's shape, and no infinity", () => {
    expect(
      chatLogprobs([token('Hé', -0.5, [token('Hé', -0.5), token('x', Number.NEGATIVE_INFINITY)])]),
    ).toEqual({
      content: [
        {
          token: 'Hé',
          logprob: -0.5,
          bytes: [72, 195, 169],
          top_logprobs: [
            { token: 'Hé', logprob: -0.5, bytes: [72, 195, 169] },
            { token: 'x', logprob: -9999, bytes: [120] },
          ],
        },
      ],
      refusal: null,
    });
  });
});

describe('LegacyLogprobsWriter', () => {
  it('goes on counting the text from one piece to the next', () => {
    const writer = new LegacyLogprobsWriter();
    expect(writer.write([token('Hello', -1, [token(' Hi', -2)]), token(' 東', -3)])).toEqual({
      tokens: ['Hello', ' 東'],
      token_logprobs: [-1, -3],
      top_logprobs: [{ Hello: -1, ' Hi': -2 }, { ' 東': -3 }],
      text_offset: [0, 5],
    });
    expect(writer.write([token('!', -4)]).text_offset).toEqual([7]);
  });

  it('names parts of a character by their bytes and counts the character once, as one code point', () => {
    const [a, b] = [
      [0xf0, 0x9f],
      [0x99, 0x82],
    ] as const;
    const written = new LegacyLogprobsWriter().write([token(a, -1), token(b, -2), token('x', -3)]);
    expect(written.tokens).toEqual(['bytes:\\xf0\\x9f', 'bytes:\\x99\\x82', 'x']);
    expect(written.text_offset).toEqual([0, 0, 1]);
  });

  it('gives an echoed prompt its first token without a logprob', () => {
    const writer = new LegacyLogprobsWriter();
    expect(writer.prompt([null, token(' are', -1), token(' you', -2)], 'How are you')).toEqual({
      tokens: ['How', ' are', ' you'],
      token_logprobs: [null, -1, -2],
      top_logprobs: [null, { ' are': -1 }, { ' you': -2 }],
      text_offset: [0, 3, 7],
    });
    expect(writer.write([token('?', -3)]).text_offset).toEqual([11]);
  });

  it('gives a token that the tokenizer put before the prompt no place in the text', () => {
    const written = new LegacyLogprobsWriter().prompt([null, token('How', -1), token(' are', -2)], 'How are');
    expect(written.tokens).toEqual(['', 'How', ' are']);
    expect(written.text_offset).toEqual([0, 0, 3]);
  });
});
