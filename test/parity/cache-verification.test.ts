/** Verification of similar questions, with the real embedding model: against what its training says, and against what people ask. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Embedder, Embedding } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TokenVerifier } from '../../gateway/src/cache/verification/token-verifier.ts';
import { cosine, startEmbedder } from '../support/embedder.ts';
import { FIXTURES } from '../support/engine.ts';
import { START_MILLISECONDS } from '../support/gateway.ts';

const SAMPLE: { query: string; candidate: string; probability: number }[] = JSON.parse(
  readFileSync(join(FIXTURES, 'cache', 'verification-sample.json'), 'utf8'),
);

/** A cached question, one that asks for the same, and one that does not. */
const CASES: readonly (readonly [kind: string, cached: string, same: string, other: string])[] = [
  ['numbers', 'What is 20% of 150?', "what's 20 percent of 150", 'What is 25% of 150?'],
  [
    'number words',
    'Suggest three names for a cat',
    'suggest 3 names for a cat please',
    'Suggest four names for a cat',
  ],
  [
    'negation',
    'Which fruits contain vitamin C?',
    'what fruits contain vitamin c',
    'Which fruits do not contain vitamin C?',
  ],
  [
    'direction',
    'How do I convert miles to kilometers?',
    'How can I convert miles to kilometres?',
    'How do I convert kilometers to miles?',
  ],
  [
    'names',
    'What is the population of Norway?',
    "what's norway's population",
    'What is the population of Sweden?',
  ],
  [
    'opposites',
    'How do I enable dark mode in Slack?',
    'how can i turn on dark mode in slack',
    'How do I disable dark mode in Slack?',
  ],
  [
    'what is asked',
    'Who invented the telephone?',
    'who was the inventor of the telephone',
    'When was the telephone invented?',
  ],
  [
    'typos',
    'How do I change the delivery address of my order?',
    'how do i change the delivery adress of my order',
    'How do I change the delivery date of my order?',
  ],
];

const ODD = [
  '',
  ' ',
  '🎉🎉🎉',
  '👩‍👩‍👧‍👦 ❤️',
  '\ud800 alone',
  'alone \udc00',
  '\u0000\u0001',
  '北京现在几点?',
  'ما هي عاصمة مصر؟',
  '\u202eabc\u202c',
  `${'7 '.repeat(300)}`,
  'x'.repeat(20_000),
  '"'.repeat(500),
  "'".repeat(500),
  '%'.repeat(500),
  `${'word '.repeat(250)}end`,
  'à̂̃̄̅̆̇̈̉̊',
];

describe('verification of similar questions', () => {
  const verifier = new TokenVerifier();
  let embedder: Embedder;
  beforeAll(async () => {
    embedder = await startEmbedder('int8');
  }, START_MILLISECONDS);
  afterAll(() => embedder.close());

  const embed = (inputs: readonly string[]) => embedder.embed({ inputs, truncate: 'model', signature: true });
  const probability = (one: string, first: Embedding, other: string, second: Embedding) => {
    const candidate = { text: other, signature: second.signature };
    return verifier.verify(
      verifier.read(one),
      first.signature,
      candidate,
      cosine(first.vector, second.vector),
    );
  };
  const compare = async (one: string, other: string) => {
    const [first, second] = await embed([one, other]);
    return probability(one, first!, other, second!);
  };

  it('says what training says', async () => {
    for (const { query, candidate, probability } of SAMPLE) {
      expect(
        Math.abs((await compare(query, candidate)) - probability),
        `${query} / ${candidate}`,
      ).toBeLessThan(1e-3);
    }
  });

  it.each(CASES)('tells %s', async (_, cached, same, other) => {
    const [likely, unlikely] = [await compare(same, cached), await compare(other, cached)];
    expect(likely, same).toBeGreaterThan(0.5);
    expect(unlikely, other).toBeLessThan(0.5);
  });

  it('says the same whichever question comes first', async () => {
    for (const [, cached, same, other] of CASES) {
      expect(await compare(same, cached)).toBeCloseTo(await compare(cached, same), 5);
      expect(await compare(other, cached)).toBeCloseTo(await compare(cached, other), 5);
    }
  });

  it('is sure of the same text', async () => {
    for (const text of [...ODD, ...CASES.map(([, cached]) => cached)]) {
      expect(await compare(text, text)).toBeGreaterThanOrEqual(0.98);
    }
  });

  it('is as good as sure of the same words in other capitals', async () => {
    for (const [, cached] of CASES)
      expect(await compare(cached.toUpperCase(), cached)).toBeGreaterThanOrEqual(0.9);
  });

  it('takes any text', async () => {
    const embeddings = await embed(ODD);
    for (const [i, one] of ODD.entries()) {
      for (const [j, other] of ODD.entries()) {
        const found = probability(one, embeddings[i]!, other, embeddings[j]!);
        expect(found).toBeGreaterThanOrEqual(0);
        expect(found).toBeLessThanOrEqual(1);
      }
    }
  });

  it('bounds what long texts take', async () => {
    const texts = ['first', 'second'].map((word) =>
      Array.from({ length: 300 }, (_, index) => (index % 7 === 0 ? word : `w${index}`)).join(' '),
    );
    const [first, second] = await embed(texts);
    probability(texts[0]!, first!, texts[1]!, second!);
    const started = performance.now();
    probability(texts[0]!, first!, texts[1]!, second!);
    expect(performance.now() - started).toBeLessThan(500);
  });

  it('signs a question the same whatever was embedded beside it, in few bytes', async () => {
    const texts = CASES.flatMap(([, ...three]) => three);
    const together = await embed(texts);
    for (const [index, text] of texts.entries()) {
      const [alone] = await embed([text]);
      const signature = together[index]!.signature!;
      expect(alone!.signature).toEqual(signature);
      expect(signature.length).toBeLessThan(150 * together[index]!.tokenIds.length);
    }
  });

  it('refuses a signature that was made with other weights, and one that is cut', async () => {
    const [text, other] = ['What is the population of Norway?', "what's norway's population"];
    const [first, second] = await embed([text, other]);
    const signature = first!.signature!;
    const verify = (kept: Uint8Array) =>
      verifier.verify(verifier.read(other), second!.signature, { text, signature: kept }, 0.99);
    expect(verify(signature)).toBeGreaterThan(0.1);
    const aged = signature.slice();
    aged[0]! ^= 1;
    expect(verify(aged)).toBe(0);
    expect(verify(signature.subarray(0, -1))).toBe(0);
    expect(verify(new Uint8Array())).toBe(0);
  });

  it('says nothing of a question that was not signed', async () => {
    const [text, other] = ['What is the population of Norway?', "what's norway's population"];
    const [kept] = await embed([text]);
    const candidate = { text, signature: kept!.signature! };
    expect(verifier.verify(verifier.read(other), null, candidate, 0.99)).toBe(0);
    const unsigned = { text, signature: null };
    expect(verifier.verify(verifier.read(other), kept!.signature, unsigned, 0.99)).toBe(0);
  });
});
