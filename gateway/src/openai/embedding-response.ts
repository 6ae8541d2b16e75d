import type { BackendVector } from '../backends/backend.ts';
import type { EmbeddingRequest } from './embedding-request.ts';
import { outOfRange } from './fields.ts';

/**
 * OpenAI's list of embeddings.
 * @throws ApiError where more dimensions are wanted than there are
 */
export function embeddingList(
  vectors: readonly BackendVector[],
  model: string,
  { encoding, dimensions }: Pick<EmbeddingRequest, 'encoding' | 'dimensions'>,
): object {
  const tokens = vectors.reduce((sum, { promptTokens }) => sum + promptTokens, 0);
  return {
    object: 'list',
    data: vectors.map(({ vector }, index) => {
      const cut = shortened(vector, dimensions);
      return { object: 'embedding', index, embedding: encoding === 'float' ? [...cut] : base64(cut) };
    }),
    model,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

/** The first numbers of a vector, of length 1 again. */
function shortened(vector: Float32Array, dimensions: number | null): Float32Array {
  if (dimensions === null || dimensions === vector.length) return vector;
  if (dimensions > vector.length) {
    throw outOfRange('integer', 'above_max', 'dimensions', vector.length, dimensions);
  }
  const cut = vector.subarray(0, dimensions);
  const length = Math.hypot(...cut);
  return length === 0 ? cut : cut.map((value) => value / length);
}

/** Little-endian, as the SDKs read it, whatever this machine is. */
function base64(vector: Float32Array): string {
  const bytes = Buffer.allocUnsafe(vector.length * 4);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}
