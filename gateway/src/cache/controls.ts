import { z } from 'zod';
import { invalidValue, type JsonObject } from '../openai/fields.ts';
import { parse } from '../openai/parse.ts';
import { decimal, integer, list, optional, text } from '../openai/schema-parts.ts';

/** Those whose answers are cached. */
export const CACHED_ROUTES = ['/v1/chat/completions', '/v1/completions', '/v1/responses'] as const;
export type CachedRoute = (typeof CACHED_ROUTES)[number];

const MOST_SECONDS = 2 ** 31 - 1;
const MOST_TAGS = 16;
const MOST_NAME = 64;

/** What a client may say of the cache in a request's body, under `cache`. */
export const cacheFields = {
  cache: optional(
    z.strictObject({
      'no-cache': optional(
        z.boolean(),
        'Make the answer anew; it is kept in the place of the old one.',
        false,
      ),
      'no-store': optional(z.boolean(), 'Do not keep the answer.', false),
      'max-age': optional(integer(0, MOST_SECONDS), 'Take no answer that is older, in seconds.'),
      'only-if-cached': optional(z.boolean(), 'Answer from the cache or not at all (504).', false),
      ttl: optional(integer(0, MOST_SECONDS), "Keep the answer for so many seconds, at most the category's."),
      category: optional(text(MOST_NAME), 'Which category it is of; otherwise it is found out.'),
      'similarity-threshold': optional(
        decimal(0, 1),
        "Least cosine to a similar question, where the category's is lower. 1: only the same question.",
      ),
      tags: optional(
        list(text(MOST_NAME), 'strings', { max: MOST_TAGS }),
        'Names to remove the answer by, later.',
      ),
    }),
    'How the answer cache is used for this request. `Cache-Control` and `x-polylora-cache-*` headers say the same.',
  ),
};

const cacheBody = z.compile(z.object(cacheFields));

/** What a client says of the cache. */
export interface CacheControls {
  /** Whether an answer may be found. */
  readonly reads: boolean;
  /** Whether the answer may be kept. */
  readonly stores: boolean;
  /** null: as old as its category allows. */
  readonly maxAgeSeconds: number | null;
  readonly onlyIfCached: boolean;
  readonly ttlSeconds: number | null;
  readonly category: string | null;
  readonly similarityThreshold: number;
  readonly tags: readonly string[];
}

/** A request's headers by name; undefined where there is none. */
type Header = (name: string) => string | undefined;

/**
 * Reads what a request says of the cache: its `cache` field, `Cache-Control` (RFC 9111: no-cache, no-store, max-age, only-if-cached)
 * and the headers `x-polylora-cache-category` and `x-polylora-cache-tags`. What either forbids is forbidden.
 *
 * @throws ApiError for the first value that is wrong
 */
export function readControls(json: JsonObject, header: Header): CacheControls {
  // Most requests say nothing.
  const body = json.cache == null ? {} : (parse(cacheBody, json).cache ?? {});
  const directives = directivesOf(header('cache-control'));
  const ages = [body['max-age'], secondsOf(directives, 'max-age')].filter((age) => age != null);
  return {
    reads: !(body['no-cache'] || directives.has('no-cache')),
    stores: !(body['no-store'] || directives.has('no-store')),
    maxAgeSeconds: ages.length === 0 ? null : Math.min(...ages),
    onlyIfCached: (body['only-if-cached'] ?? false) || directives.has('only-if-cached'),
    ttlSeconds: body.ttl ?? null,
    category: body.category ?? nameOf(header(CATEGORY_HEADER)),
    similarityThreshold: body['similarity-threshold'] ?? 0,
    tags: body.tags ?? tagsOf(header(TAGS_HEADER)),
  };
}

export const CATEGORY_HEADER = 'x-polylora-cache-category';
export const TAGS_HEADER = 'x-polylora-cache-tags';

/** Directives with their values. Of one that stands twice the first counts. */
function directivesOf(header: string | undefined): ReadonlyMap<string, string> {
  const directives = new Map<string, string>();
  for (const directive of header?.split(',') ?? []) {
    const [name = '', value = ''] = directive.trim().split('=', 2);
    const key = name.trim().toLowerCase();
    if (!directives.has(key)) directives.set(key, value.trim().replaceAll('"', ''));
  }
  return directives;
}

/** A number that cannot be read is no limit in HTTP; 0 is safe. */
function secondsOf(directives: ReadonlyMap<string, string>, name: string): number | null {
  const value = directives.get(name);
  if (value === undefined) return null;
  return /^\d{1,10}$/.test(value) ? Number(value) : 0;
}

function nameOf(header: string | undefined): string | null {
  if (header === undefined || header === '') return null;
  if (header.length > MOST_NAME) throw invalidValue(CATEGORY_HEADER, `has at most ${MOST_NAME} characters.`);
  return header;
}

function tagsOf(header: string | undefined): readonly string[] {
  const tags = (header?.split(',') ?? []).map((tag) => tag.trim()).filter((tag) => tag !== '');
  if (tags.length > MOST_TAGS || tags.some((tag) => tag.length > MOST_NAME)) {
    const message = `has at most ${MOST_TAGS} tags of at most ${MOST_NAME} characters each.`;
    throw invalidValue(TAGS_HEADER, message);
  }
  return [...new Set(tags)];
}
