import { normalized } from '@polylora/engine';
import { dot } from '../vector.ts';
import { type Category, isStricter } from './category.ts';

/** What a question's category was found to be. */
export interface Classified {
  readonly category: string;
  /** The cosine to the nearest category's centre, without what all have in common. */
  readonly similarity: number;
}

/** A question that is nearly as near to other centres is of the strictest of them. */
const MARGIN = 0.03;
/** A question further from all centres than this is of no kind that is known. */
const LEAST_SIMILARITY = 0.1;

/**
 * Tells a question's category by its embedding: the one whose examples' centre is nearest. What all examples have in common is taken off
 * first: it says nothing, and makes every question look like every other. Where several are nearly as near, the strictest of them.
 */
export class Classifier {
  readonly #centres: readonly { readonly category: Category; readonly centre: Float32Array }[];
  readonly #common: Float64Array;
  readonly #otherwise: Category;

  /**
   * @param examples embeddings of each category's examples, all of length 1
   * @param otherwise what questions are that are like none
   */
  constructor(
    examples: readonly { readonly category: Category; readonly vectors: readonly Float32Array[] }[],
    otherwise: Category,
  ) {
    const means = examples.flatMap(({ category, vectors }) =>
      vectors.length === 0 ? [] : [{ category, mean: meanOf(vectors) }],
    );
    this.#common = meanOf(means.map(({ mean }) => mean));
    this.#centres = means.map(({ category, mean }) => ({ category, centre: this.#centred(mean) }));
    this.#otherwise = otherwise;
  }

  /** @param vector of length 1 */
  classify(vector: Float32Array): Classified {
    const found = this.near(vector);
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

  /** All categories that have examples, the nearest first. */
  near(vector: Float32Array): readonly { readonly category: Category; readonly similarity: number }[] {
    const centred = this.#centred(vector);
    return this.#centres
      .map(({ category, centre }) => ({ category, similarity: dot(centred, centre) }))
      .sort((a, b) => b.similarity - a.similarity);
  }

  #centred(vector: Float32Array | Float64Array): Float32Array {
    return normalized(Float64Array.from(vector, (value, i) => value - (this.#common[i] ?? 0)));
  }
}

/** In double precision; empty of none. */
function meanOf(vectors: readonly (Float32Array | Float64Array)[]): Float64Array {
  const mean = new Float64Array(vectors[0]?.length ?? 0);
  for (const vector of vectors) for (let i = 0; i < mean.length; i++) mean[i]! += vector[i]! / vectors.length;
  return mean;
}
