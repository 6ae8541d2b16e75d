/** What a category of questions may do in the cache. */
export interface Category {
  readonly name: string;
  /** false: its answers are neither kept nor found. */
  readonly enabled: boolean;
  /** Least cosine between two questions of which one may be answered as the other was, in [0, 1]. */
  readonly similarityThreshold: number;
  /**
   * Least cosine from which verification is asked, where there is one: it tells better than the cosine, so that it may be lower than the
   * threshold, which holds where nothing else tells.
   */
  readonly verifyFrom: number;
  /**
   * Least probability, as verification estimates it, that a similar question asks for the same, in [0, 1]. 0 leaves it to the
   * threshold alone.
   */
  readonly strictness: number;
  /** Ask the base model, too, whether both questions ask for the same. */
  readonly askModel: boolean;
  readonly ttlSeconds: number;
  /** For how long after that an answer is still given, while a new one is made; 0: not at all. */
  readonly staleSeconds: number;
  /** Most of this category in the cache, all tenants together. */
  readonly maxEntries: number;
  readonly maxBytes: number;
  /** Requests that are sampled at higher temperatures want another answer each time. */
  readonly maxTemperature: number;
  /** Whether a question with a conversation before it may be answered. */
  readonly multiTurn: boolean;
  /** How much more an entry is worth here than one of priority 1 that saves as much. */
  readonly priority: number;
  /** How far an overloaded backend may have it go; null: nowhere. */
  readonly adaptive: {
    readonly leastSimilarityThreshold: number;
    readonly leastStrictness: number;
    readonly mostTtlSeconds: number;
  } | null;
  /** Share of similar hits of which the answer is made anew, later, to see whether it was right. */
  readonly checkedShare: number;
  /** Most wrong answers among hits that are similar and not equal. */
  readonly targetFalseHitRate: number;
  /** Whether the threshold follows what the checks find. */
  readonly autoTune: boolean;
  /** Questions of this kind, which the classifier knows it by; none: it is only named. */
  readonly examples: readonly string[];
}

/** What a configuration says of a category; the rest is as it is without. */
export type CategoryValues = { readonly [K in keyof Category]?: Category[K] | undefined };

/** A category with some values of its own. */
export function withValues(category: Category, values: CategoryValues): Category {
  const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
  // Who chooses a threshold wants nothing below it.
  const threshold = values.similarityThreshold;
  const from = threshold === undefined ? {} : { verifyFrom: threshold };
  return { ...category, ...from, ...given };
}

/** Whether a category lets less be answered from the cache than another. */
export function isStricter(a: Category, b: Category): boolean {
  if (a.enabled !== b.enabled) return !a.enabled;
  if (a.similarityThreshold !== b.similarityThreshold) return a.similarityThreshold > b.similarityThreshold;
  return a.ttlSeconds < b.ttlSeconds;
}
