import { z } from 'zod';

/** Longest name of a category. */
export const MOST_CATEGORY_NAME = 64;
/** With fewer a category's centre is a chance. */
export const LEAST_EXAMPLES = 10;
const MOST_EXAMPLES = 1_000;
const MOST_EXAMPLE_CHARACTERS = 1_000;
/** A hundred years, which dates have room for. */
const MOST_SECONDS = 100 * 366 * 24 * 60 * 60;

export const share = z.number().min(0).max(1);
export const seconds = z.number().min(0).max(MOST_SECONDS);
const count = z.int().min(0);

/** Questions of a kind. */
export const exampleList = z.array(z.string().min(1).max(MOST_EXAMPLE_CHARACTERS)).max(MOST_EXAMPLES);

/** What the configuration may say of a category; what it leaves out is as it is built in, or as `general` has it. */
export const categorySchema = z
  .strictObject({
    enabled: z.boolean(),
    similarityThreshold: share,
    verifyFrom: share,
    strictness: share,
    askModel: z.boolean(),
    ttlSeconds: seconds,
    staleSeconds: seconds,
    maxEntries: count,
    maxBytes: count,
    maxTemperature: z.number().min(0).max(2),
    multiTurn: z.boolean(),
    priority: z.number().positive().max(1_000),
    adaptive: z
      .strictObject({ leastSimilarityThreshold: share, leastStrictness: share, mostTtlSeconds: seconds })
      .nullable(),
    checkedShare: share,
    targetFalseHitRate: share,
    autoTune: z.boolean(),
    examples: exampleList.min(
      LEAST_EXAMPLES,
      `Expected at least ${LEAST_EXAMPLES} examples: of fewer nobody can tell what a category is`,
    ),
  })
  .partial();

export const CATEGORY_FIELDS: readonly string[] = Object.keys(categorySchema.shape);

export const categoryName = z
  .string()
  .max(MOST_CATEGORY_NAME)
  .regex(/^[a-z0-9][a-z0-9-]*$/, 'Expected small letters, digits and hyphens');
