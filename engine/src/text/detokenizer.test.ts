import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@polylora/engine-native';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Detokenizer } from './detokenizer.ts';

const MODELS = join(import.meta.dirname, '../../../test/fixtures/models');

function readTokenizer(model: string): Tokenizer {
  return new Tokenizer(readFileSync(join(MODELS, model, 'tokenizer.json')));
}

/** The pieces that come out, one per token, and what is left at the end. */
function pieces(tokenizer: Tokenizer, ids: Iterable<number>): string[] {
  const detokenizer = new Detokenizer(tokenizer);
  return [...Array.from(ids, (id) => detokenizer.push([id])), detokenizer.flush()];
}

const byteLevel = readTokenizer('llama');
const byteFallback = readTokenizer('mistral');

describe.each([
  ['byte-level', byteLevel],
  ['byte-fallback', byteFallback],
])('Detokenizer of a %s tokenizer', (_, tokenizer) => {
  it('gives back any text, a whole character at a time', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const ids = tokenizer.encode(text, true);
        const parts = pieces(tokenizer, ids);
        expect(parts.join('')).toBe(tokenizer.decode(ids, true));
        if (!text.includes('\ufffd')) expect(parts.join('')).not.toContain('\ufffd');
        for (const part of parts) expect(part).not.toMatch(/\p{Surrogate}/u);
      }),
      { numRuns: 500 },
    );
  });

  it('leaves special tokens out', () => {
    const special = tokenizer.controlTokens().map(({ id }) => id);
    expect(pieces(tokenizer, special).join('')).toBe('');
  });

  it('ends an incomplete character with U+FFFD', () => {
    const ids = tokenizer.encode('a🙂', false);
    const parts = pieces(tokenizer, ids.subarray(0, -1));
    expect(parts.at(-1)).toBe('\ufffd');
    expect(parts.slice(0, -1).join('')).toBe('a');
  });

  it('gives a character as soon as its last byte is there', () => {
    const parts = pieces(tokenizer, tokenizer.encode('🙂', false));
    expect(parts.slice(-2)).toEqual(['🙂', '']);
  });
});

it('gives what decoding all tokens at once gives, for any tokens at all', () => {
  const token = fc.integer({ min: 0, max: byteLevel.vocabSize + 3 });
  fc.assert(
    fc.property(fc.array(token), (ids) => {
      expect(pieces(byteLevel, ids).join('')).toBe(byteLevel.decode(Uint32Array.from(ids), true));
    }),
    { numRuns: 2000 },
  );
});

it('does not wait for a character that cannot become one', () => {
  const [lead] = byteFallback.encode('🙂', false).subarray(1);
  const letter = byteFallback.encode('🙂a', false).at(-1)!;
  expect(pieces(byteFallback, [letter, lead!, letter])).toEqual(['a', '', '\ufffda', '']);
});

describe('tokenBytes', () => {
  it('gives the exact bytes of every token', () => {
    const text = 'naïve café, 東京 🙂\n\t"quoted"';
    for (const tokenizer of [byteLevel, byteFallback]) {
      const bytes = Array.from(tokenizer.encode(text, false), (id) => tokenizer.tokenBytes(id));
      // SentencePiece puts a space before a text.
      expect(Buffer.concat(bytes).toString().trimStart()).toBe(text);
    }
  });

  it('knows the byte of each byte token', () => {
    const { vocab } = JSON.parse(readFileSync(join(MODELS, 'mistral/tokenizer.json'), 'utf8')).model;
    for (let byte = 0; byte < 256; byte++) {
      const token = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
      expect([...byteFallback.tokenBytes(vocab[token])]).toEqual([byte]);
    }
    const single = Array.from({ length: byteLevel.vocabSize }, (_, id) => byteLevel.tokenBytes(id))
      .filter((bytes) => bytes.length === 1)
      .map((bytes) => bytes[0]!);
    expect(new Set(single).size).toBe(256);
  });

  it('is empty for an id that is no token', () => {
    expect(byteLevel.tokenBytes(4_000_000)).toHaveLength(0);
  });
});

it('says what is wrong with a tokenizer.json', () => {
  expect(() => new Tokenizer(Buffer.from('{"model": 3}'))).toThrow(/^tokenizer\.json cannot be read: /);
});
