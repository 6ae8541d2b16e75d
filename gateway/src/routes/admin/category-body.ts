/** A category of the answer cache as the admin API takes and tells it: the configuration's fields, in snake_case. */
import { z } from 'zod';
import type { CacheHost } from '../../cache/cache-host.ts';
import type { Category, CategoryValues } from '../../cache/categories/category.ts';
import {
  categoryName,
  categorySchema,
  exampleList,
  LEAST_EXAMPLES,
  seconds,
  share,
} from '../../cache/categories/category-schema.ts';
import { invalidValue } from '../../openai/fields.ts';

export const namedCategory = z.object({ name: categoryName });

const { shape } = categorySchema;
const thresholds = {
  similarity_threshold: shape.similarityThreshold.nullable(),
  verify_from: shape.verifyFrom.nullable(),
  strictness: shape.strictness.nullable(),
};

/** As `GET` gives it, too: what it says beside the values is left as it is. */
export const categoryValuesBody = z.strictObject({
  object: z.literal('cache.category').nullish(),
  name: z.string().nullish().meta({ description: "The path's." }),
  source: z.string().nullish().meta({ description: 'As it is told; it makes no difference.' }),
  enabled: shape.enabled.nullable(),
  ...thresholds,
  ask_model: shape.askModel.nullable(),
  ttl_seconds: shape.ttlSeconds.nullable(),
  stale_seconds: shape.staleSeconds.nullable(),
  max_entries: shape.maxEntries.nullable(),
  max_bytes: shape.maxBytes.nullable(),
  max_temperature: shape.maxTemperature.nullable(),
  multi_turn: shape.multiTurn.nullable(),
  priority: shape.priority.nullable(),
  adaptive: z
    .strictObject({ least_similarity_threshold: share, least_strictness: share, most_ttl_seconds: seconds })
    .nullish()
    .meta({ description: 'How far load may have it go; null: nowhere.' }),
  checked_share: shape.checkedShare.nullable(),
  target_false_hit_rate: shape.targetFalseHitRate.nullable(),
  auto_tune: shape.autoTune.nullable(),
  examples: exampleList
    .refine(
      ({ length }) => length === 0 || length >= LEAST_EXAMPLES,
      `at least ${LEAST_EXAMPLES} are needed: of fewer nobody can tell what a category is.`,
    )
    .nullish()
    .meta({ description: 'Questions of this kind; none: those of the configuration.' }),
});

export const previewBody = z.strictObject(thresholds);

/** @throws ApiError where it is another category's */
export function valuesOf(
  { object: _, name, source: __, examples, ...fields }: z.output<typeof categoryValuesBody>,
  path = name,
): CategoryValues {
  if (name != null && name !== path) throw invalidValue('name', 'it is not the one in the path.');
  const given = Object.entries(fields).filter(([field, value]) => value != null || isMeant(field, value));
  // One that has none is told so.
  const shown = examples == null || examples.length === 0 ? {} : { examples };
  return { ...(camelCased(Object.fromEntries(given)) as CategoryValues), ...shown };
}

/** As everywhere null counts as absent, but where it is a value. */
function isMeant(field: string, value: unknown): boolean {
  return field === 'adaptive' && value === null;
}

function camelCased(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      camelCased(inner),
    ]),
  );
}

export function categoryBody(
  { adaptive, examples, ...category }: Category,
  source: ReturnType<CacheHost['sourceOf']>,
): object {
  return {
    object: 'cache.category',
    name: category.name,
    source,
    enabled: category.enabled,
    similarity_threshold: category.similarityThreshold,
    verify_from: category.verifyFrom,
    strictness: category.strictness,
    ask_model: category.askModel,
    ttl_seconds: category.ttlSeconds,
    stale_seconds: category.staleSeconds,
    max_entries: category.maxEntries,
    max_bytes: category.maxBytes,
    max_temperature: category.maxTemperature,
    multi_turn: category.multiTurn,
    priority: category.priority,
    adaptive:
      adaptive === null
        ? null
        : {
            least_similarity_threshold: adaptive.leastSimilarityThreshold,
            least_strictness: adaptive.leastStrictness,
            most_ttl_seconds: adaptive.mostTtlSeconds,
          },
    checked_share: category.checkedShare,
    target_false_hit_rate: category.targetFalseHitRate,
    auto_tune: category.autoTune,
    examples,
  };
}
