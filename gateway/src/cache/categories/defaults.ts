import { readFileSync } from 'node:fs';
import type { Category } from './category.ts';

const MEGABYTE = 1024 ** 2;
const HOUR = 60 * 60;
const DAY = 24 * HOUR;

// Beside the sources, because the compiler copies no data.
const EXAMPLES_FILE = new URL('../../../data/category-examples.json', import.meta.url);
const EXAMPLES: Readonly<Record<string, readonly string[]>> = JSON.parse(readFileSync(EXAMPLES_FILE, 'utf8'));

/** Why each category is as it is; `docs/cache.md` tells it. */
export const REASONS: Readonly<Record<string, string>> = {
  general:
    'Whatever is of no kind that is known, and what a category of your own is where you do not say otherwise.',
  code: 'Dense in the embedding’s space: one identifier makes another answer. Answers stay right for long, and cost much to make.',
  factual: 'One name or number makes another answer; facts last.',
  support: 'The same few questions in many words. Policies change.',
  chat: 'Sparse and forgiving, but what was said before decides. Somebody who asks again wants another.',
  math: 'One digit or sign makes another answer, and the answer is for ever.',
  translation: 'The languages and the text decide, in one word each.',
  'time-sensitive': 'Right for minutes.',
  medical: 'A wrong answer can hurt somebody: never.',
  personal: 'About one person: right for nobody else, and not ours to keep.',
};

/** What a category is where nothing else is said of it, and of questions that are of no kind that is known. */
export const GENERAL: Category = {
  name: 'general',
  enabled: true,
  similarityThreshold: 0.88,
  verifyFrom: 0.72,
  strictness: 0.75,
  askModel: false,
  ttlSeconds: DAY,
  staleSeconds: 0,
  maxEntries: 100_000,
  maxBytes: 256 * MEGABYTE,
  // OpenAI's default: at higher ones nobody expects the same again.
  maxTemperature: 1,
  multiTurn: true,
  priority: 1,
  adaptive: { leastSimilarityThreshold: 0.84, leastStrictness: 0.72, mostTtlSeconds: 3 * DAY },
  checkedShare: 0.02,
  targetFalseHitRate: 0.05,
  autoTune: false,
  examples: [],
};

/**
 * The categories that are there from the start. Thresholds and times are the paper's ("Category-Aware Semantic Caching for
 * Heterogeneous LLM Workloads"); examples are our own (`gateway/data/category-examples.json`).
 */
const BUILT_IN: Readonly<Record<string, Partial<Category>>> = {
  code: {
    similarityThreshold: 0.92,
    strictness: 0.8,
    ttlSeconds: 7 * DAY,
    priority: 2,
    adaptive: { leastSimilarityThreshold: 0.9, leastStrictness: 0.75, mostTtlSeconds: 14 * DAY },
  },
  factual: {
    similarityThreshold: 0.88,
    ttlSeconds: 7 * DAY,
    priority: 1.5,
    adaptive: { leastSimilarityThreshold: 0.85, leastStrictness: 0.72, mostTtlSeconds: 14 * DAY },
  },
  support: {
    similarityThreshold: 0.85,
    ttlSeconds: DAY,
    adaptive: { leastSimilarityThreshold: 0.81, leastStrictness: 0.72, mostTtlSeconds: 3 * DAY },
  },
  chat: {
    similarityThreshold: 0.8,
    ttlSeconds: 6 * HOUR,
    maxTemperature: 0.7,
    multiTurn: false,
    priority: 0.5,
    adaptive: { leastSimilarityThreshold: 0.78, leastStrictness: 0.72, mostTtlSeconds: DAY },
  },
  math: {
    similarityThreshold: 0.95,
    verifyFrom: 0.8,
    strictness: 0.85,
    ttlSeconds: 30 * DAY,
    adaptive: null,
  },
  translation: {
    similarityThreshold: 0.92,
    strictness: 0.8,
    ttlSeconds: 30 * DAY,
    adaptive: null,
  },
  'time-sensitive': {
    similarityThreshold: 0.9,
    ttlSeconds: 5 * 60,
    priority: 0.5,
    adaptive: { leastSimilarityThreshold: 0.9, leastStrictness: 0.72, mostTtlSeconds: 10 * 60 },
  },
  medical: {
    enabled: false,
    strictness: 0.85,
  },
  personal: {
    enabled: false,
  },
};

/** Built-in categories by name, `general` first. */
export const DEFAULT_CATEGORIES: ReadonlyMap<string, Category> = new Map(
  [
    GENERAL,
    ...Object.entries(BUILT_IN).map(([name, own]) => ({
      ...GENERAL,
      ...own,
      name,
      examples: EXAMPLES[name] ?? [],
    })),
  ].map((category) => [category.name, category]),
);
