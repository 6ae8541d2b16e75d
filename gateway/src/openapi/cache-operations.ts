/** The routes of the answer cache. */
import { z } from 'zod';
import { classifyBody, entryFilters, explainBody, purgeBody } from '../routes/admin/cache-body.ts';
import { categoryValuesBody, previewBody } from '../routes/admin/category-body.ts';
import type { Operation } from './operation.ts';

const time = z.int().meta({ description: 'Unix time in seconds.' });
const share = z.number().min(0).max(1);
const size = { entries: z.int(), bytes: z.int() };
const operators = 'Told to operators about all tenants together, and null else.';

const categoryStatus = z.object({
  name: z.string(),
  enabled: z.boolean(),
  recognized: z.boolean().meta({
    description: 'Whether it is found out that a question is of it; else it is only where it is named.',
  }),
  similarity_threshold: share.meta({ description: 'As it is now, as the two below are.' }),
  verify_from: share,
  strictness: share,
  ttl_seconds: z.number(),
  threshold_offset: z.number().meta({ description: 'What checks have added to the threshold.' }),
  relaxation: share.meta({ description: 'How far it is gone towards its bounds because of load.' }),
  ...size,
  max_entries: z.int(),
  max_bytes: z.int(),
  hits: z.object({ exact: z.int(), similar: z.int(), shared: z.int() }),
  misses: z.int(),
  bypasses: z.int().meta({ description: 'Requests for which nothing was looked for.' }),
  rejected: z.int().meta({ description: 'Similar questions that verification turned down.' }),
  reports: z.int().meta({ description: 'Answers that somebody reported as wrong.' }),
  hit_rate: share.nullable(),
  break_even_hit_rate: z.number().nullable().meta({
    description: 'The hit rate from which on the cache saves more time than it costs.',
  }),
  saved: z.object({ prompt_tokens: z.int(), completion_tokens: z.int(), compute_seconds: z.number() }),
  lookup_seconds: z.number().meta({ description: 'Of all lookups together.' }),
  store_seconds: z.number().meta({ description: 'Of keeping answers.' }),
  false_hits: z
    .object({ rate: share, low: share, high: share, checked: z.number() })
    .nullable()
    .meta({
      description: `Wrong answers among those to similar questions, estimated of those that were checked. ${operators}`,
    }),
});

const status = z.object({
  object: z.literal('cache'),
  tenant: z.string().nullable().meta({ description: 'Whose; null: all tenants together.' }),
  finds: z.enum(['exact', 'similar']).meta({
    description:
      'Equal questions only, or similar ones, too, which are found once the embedding model is there.',
  }),
  embedding: z
    .object({ state: z.enum(['loading', 'ready', 'failing']) })
    .nullable()
    .meta({
      description:
        'Whether questions can be embedded and told apart. Until they can, answers are kept only where the category is named. null: equal questions only are answered.',
    }),
  since: time.meta({ description: 'From when on this server has counted, in Unix time.' }),
  ...size,
  in_memory: z
    .object(size)
    .nullable()
    .meta({ description: `Answers in memory. ${operators}` }),
  index: z
    .object(size)
    .nullable()
    .meta({ description: `Questions' vectors. ${operators}` }),
  store: z
    .object({ state: z.enum(['up', 'away']) })
    .nullable()
    .meta({ description: operators }),
  flights: z
    .int()
    .nullable()
    .meta({ description: `Answers that are being made, to be shared. ${operators}` }),
  load: z
    .object({ wait_ms: z.number(), target_ms: z.number(), relaxation: share })
    .nullable()
    .meta({ description: operators }),
  categories: z.array(categoryStatus),
});

const entry = z.object({
  id: z.string(),
  object: z.literal('cache.entry'),
  tenant: z.string(),
  model: z.string(),
  root: z.string(),
  category: z.string(),
  tags: z.array(z.string()),
  created: time,
  expires: time,
  bytes: z.int(),
  hits: z.int(),
  compute_seconds: z.number(),
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  question: z
    .string()
    .nullable()
    .optional()
    .meta({ description: 'The last user message, where it was asked for.' }),
});

const category = z.object({
  object: z.literal('cache.category'),
  name: z.string(),
  source: z.enum(['api', 'file', 'built-in']).meta({
    description: 'Who has said what holds of it: this API, the configuration file, or nobody.',
  }),
  enabled: z.boolean(),
  similarity_threshold: share,
  verify_from: share,
  strictness: share,
  ask_model: z.boolean(),
  ttl_seconds: z.number(),
  stale_seconds: z.number(),
  max_entries: z.int(),
  max_bytes: z.int(),
  max_temperature: z.number(),
  multi_turn: z.boolean(),
  priority: z.number(),
  adaptive: z
    .object({ least_similarity_threshold: share, least_strictness: share, most_ttl_seconds: z.number() })
    .nullable(),
  checked_share: share,
  target_false_hit_rate: share,
  auto_tune: z.boolean(),
  examples: z.array(z.string()),
});

const hit = z.object({
  at: z.int().meta({ description: 'Milliseconds since 1970.' }),
  request_id: z.string(),
  entry_id: z.string().nullable().meta({ description: 'null: of an answer that was shared, and not kept.' }),
  level: z.enum(['exact', 'similar', 'shared']),
  category: z.string().nullable(),
  tenant: z.string(),
  similarity: z.number(),
  probability: share.nullable().meta({
    description: 'That both ask for the same, by verification; null where that was not asked.',
  }),
  threshold: share.meta({
    description: 'The least similarity that was needed; 1 where equal questions were looked for.',
  }),
  strictness: share.meta({ description: 'The least probability that was needed; 0: none.' }),
  age_seconds: z.number(),
  question: z.string().nullable().meta({ description: 'As it was asked; null unless `logPrompts` is set.' }),
  entry_question: z.string().nullable().meta({ description: 'What the answer was made for.' }),
});

const explanation = z.object({
  category: z.string(),
  classified_by: z.enum(['request', 'classifier']),
  threshold: share.meta({ description: 'The least similarity that its category needs now.' }),
  strictness: share,
  candidates: z.array(
    z.object({
      entry_id: z.string(),
      question: z.string().nullable(),
      similarity: z.number(),
      probability: share.nullable(),
      is_hit: z.boolean(),
      because: z.string(),
    }),
  ),
});

const report = z.object({ id: z.string(), object: z.literal('cache.report'), reported: z.literal(true) });

const tag = 'Answer cache';
const cache = { tag, access: 'administrator' } as const;
const entryAnswer = { name: 'CacheEntry', schema: entry };
const reportAnswer = { name: 'CacheReport', schema: report };
const questions = z
  .enum(['true', 'false'])
  .optional()
  .meta({ description: 'Whether to show the questions.' });

/** By method and path, as the router has them. */
export const CACHE_OPERATIONS: Readonly<Record<string, Operation>> = {
  'POST /v1/cache/entries/:id/report': {
    tag,
    access: 'client',
    summary:
      'Says that an answer of the cache was wrong: it is taken out. Its head names it (`x-polylora-cache`)',
    answer: reportAnswer,
  },
  'GET /admin/v1/cache': {
    ...cache,
    summary: 'What the cache has, and what it costs and saves',
    query: z.object({ tenant: z.string().optional() }),
    answer: { name: 'CacheStatus', schema: status },
  },
  'GET /admin/v1/cache/entries': {
    ...cache,
    summary: 'Entries, the newest first, never with their answers',
    query: entryFilters.extend({
      questions,
      after: z.string().optional().meta({ description: 'The `last_id` of the page before.' }),
      limit: z.int().min(1).optional(),
    }),
    answer: {
      schema: z.object({
        object: z.literal('list'),
        data: z.array(entry),
        last_id: z.string().nullable(),
        has_more: z.boolean(),
      }),
    },
  },
  'GET /admin/v1/cache/entries/:id': {
    ...cache,
    summary: 'An entry',
    query: z.object({ questions }),
    answer: entryAnswer,
  },
  'DELETE /admin/v1/cache/entries/:id': {
    ...cache,
    summary: 'Takes an entry out',
    answer: { schema: z.object({ id: z.string(), deleted: z.literal(true) }) },
  },
  'POST /admin/v1/cache/entries/:id/report': {
    ...cache,
    summary: 'Says that an answer was wrong, as clients do',
    answer: reportAnswer,
  },
  'POST /admin/v1/cache/purge': {
    ...cache,
    summary: 'Takes out all that match, or tells how many',
    request: { schema: purgeBody },
    answer: {
      schema: z.object({ object: z.literal('cache.purge'), dry_run: z.boolean(), ...size }),
    },
  },
  'GET /admin/v1/cache/categories': {
    ...cache,
    summary: 'Categories as they are configured',
    answer: {
      schema: z.object({
        object: z.literal('list'),
        data: z.array(category),
        has_more: z.literal(false),
      }),
    },
  },
  'PUT /admin/v1/cache/categories/:name': {
    ...cache,
    access: 'operator',
    summary: 'Sets what is other in a category than in the configuration, or makes one',
    request: { schema: categoryValuesBody },
    answer: { name: 'CacheCategory', schema: category },
  },
  'DELETE /admin/v1/cache/categories/:name': {
    ...cache,
    access: 'operator',
    summary: 'Has it as the configuration has it again, or takes away what was made here',
    answer: { schema: z.object({ name: z.string(), deleted: z.literal(true) }) },
  },
  'POST /admin/v1/cache/categories/:name/preview': {
    ...cache,
    summary: 'How many of the questions that were asked lately other thresholds would have answered',
    request: { schema: previewBody },
    answer: { schema: z.object({ lookups: z.int(), hits_now: z.int(), hits_then: z.int() }) },
  },
  'GET /admin/v1/cache/hits': {
    ...cache,
    summary: 'Answers that were given again lately, and why, the newest first',
    query: z.object({ limit: z.int().min(1).max(200).optional() }),
    answer: { schema: z.object({ data: z.array(hit) }) },
  },
  'POST /admin/v1/cache/explain': {
    ...cache,
    summary: 'What is near a question, and whether and why that would answer it',
    request: { schema: explainBody },
    answer: { schema: explanation },
  },
  'POST /admin/v1/cache/classify': {
    ...cache,
    summary: 'Which category a question would be of',
    request: { schema: classifyBody },
    answer: {
      schema: z.object({
        object: z.literal('cache.classification'),
        category: z.string(),
        similarities: z.array(z.object({ category: z.string(), similarity: z.number() })),
      }),
    },
  },
};
