import { dot, normalize } from '../vector.ts';
import { type Category, isStricter } from './category.ts';

/** What a question's category was found to be. */
export interface Classified {
  readonly category: string;
  /** The cosine to the nearest category's centre. */
  readonly similarity: number;
}

/** Centres nearer to each other's cosine than this are not told apart. */
const MARGIN = 0.05;
/** A question further from all centres than this is of no kind that is known. */
const LEAST_SIMILARITY = 0.15;

/**
 * Tells a question's category by its embedding: the one whose examples' centre is nearest. Where several are nearly as near, the strictest
 * of them.
 */
export class Classifier {
  readonly #centres: readonly { readonly category: Category; readonly centre: Float32Array }[];
  readonly #otherwise: Category;

  /**
   * @param examples embeddings of each category's examples, all of length 1
   * @param otherwise what questions are that are like none
   */
  constructor(
    examples: readonly { readonly category: Category; readonly vectors: readonly Float32Array[] }[],
    otherwise: Category,
  ) {
    this.#centres = examples.flatMap(({ category, vectors }) =>
      vectors.length === 0 ? [] : [{ category, centre: centreOf(vectors) }],
    );
    this.#otherwise = otherwise;
  }

  /** @param vector of length 1 */
  classify(vector: Float32Array): Classified {
    const found = this.#centres
      .map(({ category, centre }) => ({ category, similarity: dot(vector, centre) }))
      .sort((a, b) => b.similarity - a.similarity);
    const [nearest] = found;
    const similarity = nearest?.similarity ?? 0;
    if (nearest === undefined || similarity < LEAST_SIMILARITY)
      return { category: this.#otherwise.name, similarity };
    let { category } = nearest;
    for (const other of found) {
      if (other.similarity >= similarity - MARGIN && isStricter(other.category, category))
        category = other.category;
    }
    return { category: category.name, similarity };
  }
}

function centreOf(vectors: readonly Float32Array[]): Float32Array {
  const sum = new Float64Array(vectors[0]!.length);
  for (const vector of vectors) for (let i = 0; i < sum.length; i++) sum[i]! += vector[i]!;
  return normalize(sum);
}
