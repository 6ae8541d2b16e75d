/** The embedding model against sentence-transformers in float32, and against itself in other batches. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Embedder, Embedding, EmbedInput } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { cosine, EMBEDDING_CASES, startEmbedder } from '../support/embedder.ts';
import { START_MILLISECONDS } from '../support/gateway.ts';

const embed = async (embedder: Embedder, inputs: readonly EmbedInput[]) =>
  embedder.embed({ inputs, truncate: 'model' });

const bitsOf = (vector: Float32Array) => Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);

/** Texts of many lengths, several of each. */
const TEXTS = [
  ...EMBEDDING_CASES.map(({ text }) => text),
  ...Array.from({ length: 40 }, (_, index) => `Order ${index} ${'came late '.repeat(index % 7)}again?`),
];

describe.each([
  ['int8', 0.99],
  ['f32', 0.9999],
] as const)('all-MiniLM-L6-v2 with %s weights', (weights, least) => {
  let embedder: Embedder;
  beforeAll(async () => {
    embedder = await startEmbedder(weights);
  }, START_MILLISECONDS);
  afterAll(() => embedder.close());

  it(`gives vectors within a cosine of ${least} of the reference, of length 1`, async () => {
    const embeddings = await embed(
      embedder,
      EMBEDDING_CASES.map(({ text }) => text),
    );
    for (const [index, { text, ids, embedding }] of EMBEDDING_CASES.entries()) {
      const { vector, tokenIds } = embeddings[index]!;
      expect([...tokenIds], text).toEqual(ids);
      expect(cosine(vector, embedding), text).toBeGreaterThanOrEqual(least);
      expect(Math.hypot(...vector)).toBeCloseTo(1, 6);
    }
  });

  it('gives a text the same bits whatever runs beside it, and from its token ids', async () => {
    const together = await embed(embedder, TEXTS);
    for (const [index, text] of TEXTS.entries()) {
      const [alone] = await embed(embedder, [text]);
      const [byIds] = await embed(embedder, [[...alone!.tokenIds]]);
      expect(bitsOf(alone!.vector).equals(bitsOf(together[index]!.vector)), text).toBe(true);
      expect(bitsOf(byIds!.vector).equals(bitsOf(alone!.vector)), text).toBe(true);
    }
    const requests = await Promise.all(TEXTS.map((text) => embed(embedder, [text])));
    for (const [index, [embedding]] of requests.entries()) {
      expect(bitsOf(embedding!.vector).equals(bitsOf(together[index]!.vector))).toBe(true);
    }
  });

  it('gives the same bits on more threads', async () => {
    const other = await startEmbedder(weights, 2);
    try {
      const [ours, theirs] = [await embed(embedder, TEXTS), await embed(other, TEXTS)];
      for (const [index, { vector }] of ours.entries()) {
        expect(bitsOf(vector).equals(bitsOf(theirs[index]!.vector)), TEXTS[index]).toBe(true);
      }
    } finally {
      await other.close();
    }
  });

  it('gives the states and the signatures of the tokens, the same bits whatever runs beside it', async () => {
    const request = { truncate: 'model', tokenStates: true, signature: true } as const;
    const together = await embedder.embed({ ...request, inputs: TEXTS });
    for (const [index, text] of TEXTS.entries()) {
      const [alone] = await embedder.embed({ ...request, inputs: [text] });
      const { tokenStates, tokenIds, vector, signature } = alone!;
      expect(tokenStates).toHaveLength(tokenIds.length * vector.length);
      expect(bitsOf(tokenStates!).equals(bitsOf(together[index]!.tokenStates!)), text).toBe(true);
      const [without] = await embed(embedder, [text]);
      expect([without!.tokenStates, without!.signature]).toEqual([null, null]);
      expect(signature).toEqual(together[index]!.signature);
      expect(signature === null).toBe(tokenIds.length <= 2);
      expect(bitsOf(without!.vector).equals(bitsOf(vector)), text).toBe(true);
    }
  });
});

describe('signatures', () => {
  const text = 'What is the population of Norway?';

  it('are of those texts of a batch that want one', async () => {
    const embedder = await startEmbedder('int8');
    try {
      await embedder.load();
      const posted = vi.spyOn(Worker.prototype, 'postMessage');
      const both = [true, false].map((signature) =>
        embedder.embed({ inputs: [text], truncate: 'model', signature }),
      );
      // Without a turn of the event loop: what the caller does next takes no time of it.
      expect(posted).toHaveBeenCalledTimes(2);
      posted.mockRestore();
      const [[signed], [plain]] = (await Promise.all(both)) as [Embedding[], Embedding[]];
      expect(signed!.signature!.length).toBeGreaterThan(100);
      expect(plain!.signature).toBeNull();
      expect(plain!.vector).toEqual(signed!.vector);
    } finally {
      await embedder.close();
    }
  });

  it('are none where the networks are for other states', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'polylora-comparison-'));
    const comparison = join(folder, 'weights.bin');
    const shape = { width: 8, d: 2, hidden: 2, extra: 1, members: 1, slope: 1, offset: 0 };
    const head = Buffer.from(JSON.stringify(shape).padEnd(100));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(head.length);
    // Of these layers: project 18, key 4, sharpness 1, compare 26, combine 20, output 3.
    await writeFile(comparison, Buffer.concat([length, head, Buffer.alloc(72 * 4)]));
    const embedder = await startEmbedder('int8', 1, comparison);
    try {
      const [embedding] = await embedder.embed({ inputs: [text], truncate: 'model', signature: true });
      expect(embedding).toMatchObject({ signature: null, vector: { length: 384 } });
    } finally {
      await embedder.close();
      await rm(folder, { recursive: true });
    }
  });
});

describe('what an embedder refuses', () => {
  let embedder: Embedder;
  beforeAll(async () => {
    embedder = await startEmbedder('int8');
    await embedder.load();
  }, START_MILLISECONDS);
  afterAll(() => embedder.close());

  const long = 'word '.repeat(300);

  it('a text that is too long, unless it may be cut as sentence-transformers does', async () => {
    const request = { inputs: ['short', long], truncate: null };
    await expect(embedder.embed(request)).rejects.toMatchObject({
      code: 'context_length_exceeded',
      message: expect.stringContaining('input 1 has 302'),
    });
    const [cut, shorter] = await Promise.all([
      embedder.embed({ ...request, inputs: [long], truncate: 'model' }),
      embedder.embed({ ...request, inputs: [long], truncate: 9 }),
    ]);
    expect(cut[0]!.tokenIds).toHaveLength(256);
    expect(shorter[0]!.tokenIds).toHaveLength(9);
    expect(shorter[0]!.tokenIds.at(-1)).toBe(102);
  });

  it('more than 300,000 tokens at once', async () => {
    const inputs = Array.from({ length: 1180 }, () => Array(255).fill(1000) as number[]);
    await expect(embed(embedder, inputs)).rejects.toMatchObject({
      code: 'invalid_prompt',
      message: expect.stringContaining('300900'),
    });
  });

  it('a token that the model does not have, and nothing else with it', async () => {
    const [wrong, right] = await Promise.allSettled([
      embed(embedder, [[101, 30_522]]),
      embed(embedder, ['still served']),
    ]);
    expect(wrong).toMatchObject({ status: 'rejected', reason: { code: 'invalid_prompt' } });
    expect(right).toMatchObject({ status: 'fulfilled', value: [{ vector: { length: 384 } }] });
  });

  it('what would wait behind too much, and does not run what was given up', async () => {
    const abort = new AbortController();
    const request = { inputs: Array(8192).fill('many texts that wait'), truncate: null };
    const large = embedder.embed(request, abort.signal);
    const before = embedder.stats();
    await expect(embed(embedder, ['one more'])).rejects.toMatchObject({ code: 'engine_overloaded' });
    abort.abort();
    await expect(large).rejects.toMatchObject({ name: 'AbortError' });
    expect(embedder.stats().waiting).toBe(0);
    await embed(embedder, ['after it']);
    expect(embedder.stats().inputsTotal - before.inputsTotal).toBeLessThan(8192);
  });

  it('everything once it was closed', async () => {
    const closed = await startEmbedder('int8');
    await closed.close();
    await expect(embed(closed, ['late'])).rejects.toMatchObject({ code: 'engine_unavailable' });
  });

  it('a model that is none, saying what is wrong, and takes nothing down', async () => {
    const { createEmbedder } = await import('@polylora/engine');
    const home = process.env.TMPDIR ?? '/tmp';
    const none = createEmbedder({
      model: '/nowhere/at/all',
      home,
      hubToken: null,
      weights: 'int8',
      threads: 1,
      comparison: null,
    });
    await expect(embed(none, ['text'])).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(none.load()).rejects.toMatchObject({ code: 'model_not_found' });
    await none.close();
  });
});
