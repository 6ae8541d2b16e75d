/** What the admin API takes and tells of the answer cache. */
import { z } from 'zod';
import type { CacheHost, RememberedHit } from '../../cache/cache-host.ts';
import type { Category } from '../../cache/categories/category.ts';
import type { ListedHead } from '../../cache/documents/document-store.ts';
import { breakEvenHitRate, hitRate } from '../../cache/economics.ts';
import { MOST_SEARCHED } from '../../cache/entry-search.ts';
import { optional, text } from '../../openai/schema-parts.ts';

/** As long as names of models, digests and tags may be. */
const MOST_NAME = 512;
/** Of words that are looked for in questions. */
const MOST_SOUGHT = 256;
/** More than the embedding model reads. */
const MOST_QUESTION = 32_768;

const filterFields = {
  tenant: optional(text(MOST_NAME), 'Those of this tenant; an administrator has its own only.'),
  model: optional(text(MOST_NAME), 'Those of this model, by the name that it was asked for.'),
  root: optional(
    text(MOST_NAME),
    'Those of these weights, by any name: a digest, or the source of the base.',
  ),
  category: optional(text(MOST_NAME), 'Those of this category.'),
  tag: optional(text(MOST_NAME), 'Those that have this tag.'),
};

export const purgeBody = z.strictObject({
  id: optional(text(MOST_NAME), 'This entry only.'),
  ...filterFields,
  all: optional(z.boolean(), 'Has to be said where nothing else is: all that you may.', false),
  dry_run: optional(z.boolean(), 'Only tells how much it would be.', false),
});

export const classifyBody = z.strictObject({
  text: text(MOST_QUESTION).meta({ description: 'A question, as a user would write it.' }),
});

export const explainBody = z.strictObject({
  question: text(MOST_QUESTION).meta({ description: 'A question, as a user would write it.' }),
  tenant: optional(
    text(MOST_NAME),
    'Among the answers of this tenant; an administrator has its own only. Operators without it: all.',
  ),
  category: optional(text(MOST_NAME), 'As a request would name it; without it it is found out.'),
  model: optional(text(MOST_NAME), 'Among the answers of this model, by the name that it was asked for.'),
});

export const FILTERS = ['tenant', 'model', 'root', 'category', 'tag'] as const;

export const entryFilters = z.object({
  ...filterFields,
  q: optional(
    text(MOST_SOUGHT),
    `Those whose question has all of these words, or words that contain them, in whatever case. It looks at ${MOST_SEARCHED} entries at most: a page may have fewer than \`limit\`, or none, and \`has_more\` tells to go on after \`last_id\`.`,
  ),
});

/** @param tenant whose: null: all tenants', with what is told to operators only */
export function cacheBody(host: CacheHost, tenant: string | null): object {
  const { cache, load, categories } = host;
  const isWhole = tenant === null;
  const { answers, vectors } = cache;
  const told = [...categories.all()].map((category) => categoryStatus(host, category, tenant));
  return {
    object: 'cache',
    tenant,
    /** Equal questions only, or similar ones too; those as soon as the embedding model is there. */
    finds: vectors === null ? 'exact' : 'similar',
    embedding: host.embedding === null ? null : { state: host.embedding },
    since: seconds(host.startedAt),
    ...sizeOf(host, tenant),
    in_memory: isWhole ? answers : null,
    index: isWhole ? vectors : null,
    store: isWhole ? { state: host.isStoreUp ? 'up' : 'away' } : null,
    flights: isWhole ? host.flights : null,
    load: isWhole
      ? {
          wait_ms: load.waitMilliseconds,
          target_ms: host.targetMilliseconds,
          relaxation: load.relaxation,
        }
      : null,
    categories: told,
  };
}

function sizeOf({ cache, categories }: CacheHost, tenant: string | null) {
  const held = categories.names.map((name) => cache.usage(name, tenant));
  return {
    entries: held.reduce((sum, { entries }) => sum + entries, 0),
    bytes: held.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

function categoryStatus(
  { cache, categories, quality, embedding }: CacheHost,
  category: Category,
  tenant: string | null,
): object {
  const { name, enabled, examples, maxEntries, maxBytes } = category;
  const effective = categories.effective(category);
  const { thresholdOffset, relaxation } = categories.adjustment(name);
  const books = cache.economics.of(name, tenant);
  const { lookupSeconds, storeSeconds } = books;
  return {
    name,
    enabled,
    recognized: embedding !== null && examples.length > 0,
    similarity_threshold: effective.similarityThreshold,
    verify_from: effective.verifyFrom,
    strictness: effective.strictness,
    ttl_seconds: effective.ttlSeconds,
    threshold_offset: thresholdOffset,
    relaxation,
    ...cache.usage(name, tenant),
    max_entries: maxEntries,
    max_bytes: maxBytes,
    hits: { exact: books.exactHits, similar: books.similarHits, shared: books.sharedHits },
    misses: books.misses,
    bypasses: books.bypasses,
    rejected: books.rejected,
    reports: books.reports,
    hit_rate: hitRate(books),
    break_even_hit_rate: breakEvenHitRate(books),
    saved: {
      prompt_tokens: books.promptTokensSaved,
      completion_tokens: books.completionTokensSaved,
      compute_seconds: books.computeSecondsSaved,
    },
    lookup_seconds: lookupSeconds,
    store_seconds: storeSeconds,
    // It is of all tenants' questions together.
    false_hits: tenant === null ? (quality?.estimate(name) ?? null) : null,
  };
}

/** @param question where it was asked for */
export function entryBody(entry: ListedHead, question?: string | null): object {
  return {
    id: entry.id,
    object: 'cache.entry',
    tenant: entry.tenant,
    model: entry.model,
    root: entry.root,
    category: entry.category,
    tags: entry.tags,
    created: seconds(entry.createdAt),
    expires: seconds(entry.expiresAt),
    bytes: entry.bytes,
    hits: entry.hits,
    compute_seconds: entry.computeSeconds,
    prompt_tokens: entry.promptTokens,
    completion_tokens: entry.completionTokens,
    ...(question === undefined ? {} : { question }),
  };
}

/** @param asRequested whether the request named the category */
export function explanationBody(
  { category, threshold, strictness, candidates }: NonNullable<Awaited<ReturnType<CacheHost['explain']>>>,
  asRequested: boolean,
): object {
  return {
    category: category.name,
    classified_by: asRequested ? 'request' : 'classifier',
    threshold,
    strictness,
    candidates: candidates.map(({ entry, question, similarity, probability, isHit, because }) => ({
      entry_id: entry.id,
      question,
      similarity,
      probability,
      is_hit: isHit,
      because,
    })),
  };
}

/** @param entryQuestion what the answer was made for; null where it has no question, or is gone */
export function hitBody(hit: RememberedHit, entryQuestion: string | null): object {
  return {
    at: hit.at,
    request_id: hit.requestId,
    entry_id: hit.entryId,
    level: hit.level,
    category: hit.category,
    tenant: hit.tenant,
    similarity: hit.similarity,
    probability: hit.probability,
    threshold: hit.needed.similarity,
    strictness: hit.needed.strictness,
    age_seconds: hit.ageSeconds,
    question: hit.question,
    entry_question: entryQuestion,
  };
}

function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}
