import { normalized } from '@polylora/engine';
import { dot } from '../vector.ts';
import { type Category, isStricter } from './category.ts';

/** A category's examples with their embeddings, all of length 1. */
export interface EmbeddedExamples extends Pick<Category, 'name' | 'examples'> {
  readonly vectors: readonly Float32Array[];
}

/** A question that is nearly as near to other centres is of the strictest of them. */
const MARGIN = 0.03;
/** A question further from all centres than this is of no kind that is known. */
const LEAST_SIMILARITY = 0.1;

type Categories = ReadonlyMap<string, Category>;

/**
 * Tells a question's category by its embedding: the one whose examples' centre is nearest. What all examples have in common is taken off
 * first: it says nothing, and makes every question look like every other. Where several are nearly as near, the strictest of them.
 *
 * It knows categories by name, so that what else of them is configured holds at once. It has to be made anew for other examples only.
 */
export class Classifier {
  readonly #examples: ReadonlyMap<string, readonly string[]>;
  readonly #centres: readonly { readonly name: string; readonly centre: Float32Array }[];
  readonly #common: Float64Array;

  /** @param known of each category that has examples */
  constructor(known: readonly EmbeddedExamples[]) {
    this.#examples = new Map(known.map(({ name, examples }) => [name, examples]));
    const means = known.map(({ name, vectors }) => ({ name, mean: meanOf(vectors) }));
    this.#common = meanOf(means.map(({ mean }) => mean));
    this.#centres = means.map(({ name, mean }) => ({ name, centre: this.#centred(mean) }));
  }

  /** Whether a category's questions are known, by the examples that it has now or had before. */
  hasKnown({ name }: Pick<Category, 'name'>): boolean {
    return this.#examples.has(name);
  }

  /** Whether a category's questions are known by the examples that it has now. */
  knows({ name, examples }: Pick<Category, 'name' | 'examples'>): boolean {
    const known = this.#examples.get(name);
    return known !== undefined && isSameList(known, examples);
  }

  /** Whether it was made of what these have for examples, and of nothing else. */
  isOf(categories: Categories): boolean {
    const shown = [...categories.values()].filter(({ examples }) => examples.length > 0);
    return shown.length === this.#examples.size && shown.every((category) => this.knows(category));
  }

  /** @param vector of length 1 @returns null: of no kind that is known */
  classify(vector: Float32Array, categories: Categories): Category | null {
    const found = this.near(vector, categories);
    const [nearest] = found;
    if (nearest === undefined || nearest.similarity < LEAST_SIMILARITY) return null;
    let { category } = nearest;
    for (const other of found) {
      if (other.similarity >= nearest.similarity - MARGIN && isStricter(other.category, category))
        category = other.category;
    }
    return category;
  }

  /** Those of the categories that have examples, the nearest first. */
  near(
    vector: Float32Array,
    categories: Categories,
  ): readonly { readonly category: Category; readonly similarity: number }[] {
    const centred = this.#centred(vector);
    return this.#centres
      .flatMap(({ name, centre }) => {
        const category = categories.get(name);
        return category === undefined ? [] : [{ category, similarity: dot(centred, centre) }];
      })
      .sort((a, b) => b.similarity - a.similarity);
  }

  #centred(vector: Float32Array | Float64Array): Float32Array {
    return normalized(Float64Array.from(vector, (value, i) => value - (this.#common[i] ?? 0)));
  }
}

export function isSameList(left: readonly string[], right: readonly string[]): boolean {
  return left === right || (left.length === right.length && left.every((each, i) => each === right[i]));
}

/** In double precision; empty of none. */
function meanOf(vectors: readonly (Float32Array | Float64Array)[]): Float64Array {
  const mean = new Float64Array(vectors[0]?.length ?? 0);
  for (const vector of vectors) for (let i = 0; i < mean.length; i++) mean[i]! += vector[i]! / vectors.length;
  return mean;
}
