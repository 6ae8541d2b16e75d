/** An answer cache with the real embedding model and whatever verifies; nobody judges. */
import type { Embedder } from '@polylora/engine';
import { AnswerCache } from '../../gateway/src/cache/answer-cache.ts';
import type { CategoryTable } from '../../gateway/src/cache/categories/category-table.ts';
import { QuestionEmbedder } from '../../gateway/src/cache/question-embedder.ts';
import { VectorIndex } from '../../gateway/src/cache/vector-index/vector-index.ts';
import { ModelJudge } from '../../gateway/src/cache/verification/model-judge.ts';
import type { Verifier } from '../../gateway/src/cache/verification/verifier.ts';
import { createLogger } from '../../gateway/src/logging.ts';
import type { CacheStore } from './cache-store.ts';

export interface OpenAnswerCacheOptions {
  /** Loaded. */
  readonly embedder: Embedder;
  readonly store: CacheStore;
  readonly categories: CategoryTable;
  readonly verifier: Verifier | null;
  /** Milliseconds since 1970; the machine's own clock where it is absent. */
  readonly now?: () => number;
}

/** Opens one, in which everything happens at once. */
export function openAnswerCache(options: OpenAnswerCacheOptions): AnswerCache {
  const { embedder, store, categories, verifier, now = Date.now } = options;
  const logger = createLogger('silent');
  const cache = new AnswerCache({
    ...{ categories, documents: store.documents, verifier, exactBytes: 1 << 20, now, logger },
    embedder: new QuestionEmbedder({ embedder, mostMilliseconds: 20_000, logger }),
    judge: new ModelJudge(() => {
      throw new Error('nobody is asked');
    }),
    metrics: { looked() {}, embedded() {}, verified() {}, removed() {}, reported() {} },
  });
  const { width, digest } = embedder.model!;
  const index = new VectorIndex({ width, schedule: (work) => work(), onWarning: () => {} });
  cache.kept.setVectors({ index, encoder: digest });
  return cache;
}
