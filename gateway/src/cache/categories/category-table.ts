import { type Category, type CategoryValues, withValues } from './category.ts';
import type { Classifier } from './classifier.ts';
import { DEFAULT_CATEGORIES, GENERAL } from './defaults.ts';

/** What is different from a category's own values for now: by load, or by what checks have found. */
export interface Adjustment {
  /** Taken off or added to the threshold. */
  readonly thresholdOffset: number;
  /** How far the category's adaptive bounds are gone towards, from 0 to 1. */
  readonly relaxation: number;
}

export const UNADJUSTED: Adjustment = { thresholdOffset: 0, relaxation: 0 };

/** What holds of a category for now. */
export type Effective = Pick<Category, 'similarityThreshold' | 'verifyFrom' | 'strictness' | 'ttlSeconds'>;

type Near = ReturnType<Classifier['near']>;

/** What somebody says of categories, by name. */
type Layer = Readonly<Record<string, CategoryValues>>;

/** A threshold that is moved stays one that something can pass. */
const MOST_THRESHOLD = 0.999;

/** All categories, with what holds of them now. */
export class CategoryTable {
  #categories: ReadonlyMap<string, Category>;
  readonly #adjustments = new Map<string, Adjustment>();
  #classifier: Classifier | null = null;
  #isReady = false;

  /**
   * @param configured what the configuration says of categories, built in and new ones
   * @param set what administrators say, over that
   */
  constructor(configured: Layer = {}, set: Layer = {}) {
    this.#categories = categoriesOf([configured, set]);
  }

  /** Takes other ones; the classifier stays as long as there is no newer one. */
  configure(configured: Layer, set: Layer = {}): void {
    this.#categories = categoriesOf([configured, set]);
    this.#look();
  }

  get names(): readonly string[] {
    return [...this.#categories.keys()];
  }

  all(): IterableIterator<Category> {
    return this.#categories.values();
  }

  has(name: string): boolean {
    return this.#categories.has(name);
  }

  /** One that is not there any more is treated as any question. */
  get(name: string): Category {
    return this.#categories.get(name) ?? this.#categories.get(GENERAL.name) ?? GENERAL;
  }

  setClassifier(classifier: Classifier): void {
    this.#classifier = classifier;
    this.#look();
  }

  /** Whether the classifier is of the examples as they are now. */
  get isClassifierCurrent(): boolean {
    return this.#classifier?.isOf(this.#categories) ?? false;
  }

  /**
   * Whether a question's category can be found out. Until a classifier knows a category that has just come, or one that is never cached by
   * the examples that it has now, its questions would be taken for others: then nobody can tell.
   */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** How near a question is to each category that has examples, and which it is of; null as long as there is nobody to tell. */
  classify(vector: Float32Array): { readonly category: Category; readonly near: Near } | null {
    const classifier = this.#classifier;
    return classifier === null
      ? null
      : { category: this.of(vector), near: classifier.near(vector, this.#categories) };
  }

  /** The category of a question by its embedding; `general` where there is none, or nobody to tell. */
  of(vector: Float32Array | null): Category {
    const found = vector === null ? null : (this.#classifier?.classify(vector, this.#categories) ?? null);
    return found ?? this.get(GENERAL.name);
  }

  /** @param change what is different now; the rest of what was stays */
  adjust(name: string, change: Partial<Adjustment>): void {
    this.#adjustments.set(name, { ...this.adjustment(name), ...change });
  }

  adjustment(name: string): Adjustment {
    return this.#adjustments.get(name) ?? UNADJUSTED;
  }

  /** What holds now: between a category's own values and its bounds. */
  effective({
    name,
    similarityThreshold,
    verifyFrom,
    strictness,
    ttlSeconds,
    adaptive,
  }: Category): Effective {
    const { thresholdOffset: offset, relaxation } = this.adjustment(name);
    const own = {
      similarityThreshold: within(0, similarityThreshold + offset, MOST_THRESHOLD),
      verifyFrom: within(0, verifyFrom + offset, MOST_THRESHOLD),
      // 0 is for those who want no verification.
      strictness: strictness === 0 ? 0 : within(0, strictness + offset, MOST_THRESHOLD),
      ttlSeconds,
    };
    if (adaptive === null || relaxation === 0) return own;
    const towards = (from: number, to: number) => from + relaxation * (to - from);
    const { leastSimilarityThreshold, leastStrictness, mostTtlSeconds } = adaptive;
    // What checks have found to be needed is needed under load as well.
    const raised = Math.max(0, offset);
    return {
      similarityThreshold: towards(
        own.similarityThreshold,
        Math.min(own.similarityThreshold, leastSimilarityThreshold + raised),
      ),
      verifyFrom: own.verifyFrom,
      strictness: towards(own.strictness, Math.min(own.strictness, leastStrictness + raised)),
      ttlSeconds: towards(ttlSeconds, Math.max(ttlSeconds, mostTtlSeconds)),
    };
  }

  #look(): void {
    const classifier = this.#classifier;
    this.#isReady =
      classifier !== null &&
      [...this.#categories.values()].every(
        (category) =>
          category.examples.length === 0 ||
          (category.enabled ? classifier.hasKnown(category) : classifier.knows(category)),
      );
  }
}

function within(least: number, value: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}

function categoriesOf(layers: readonly Layer[]): ReadonlyMap<string, Category> {
  const categories = new Map(DEFAULT_CATEGORIES);
  const configured = (base: Category) =>
    layers.reduce(
      (below, layer) => withValues(below, (Object.hasOwn(layer, base.name) && layer[base.name]) || {}),
      base,
    );
  const general = configured(GENERAL);
  for (const name of [GENERAL.name, ...layers.flatMap((layer) => Object.keys(layer))]) {
    // A new one has what `general` has, as it is configured; but nobody said how far load may move it.
    const base = DEFAULT_CATEGORIES.get(name) ?? { ...general, name, adaptive: null, examples: [] };
    categories.set(name, configured(base));
  }
  return categories;
}
