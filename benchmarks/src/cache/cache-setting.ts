import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Embedder, Prompt } from '@polylora/engine';

import { AnswerCache } from '../../../gateway/dist/cache/answer-cache.js';
import { CategoryTable } from '../../../gateway/dist/cache/categories/category-table.js';
import type { CacheControls } from '../../../gateway/dist/cache/controls.js';
import type { DocumentStore } from '../../../gateway/dist/cache/documents/document-store.js';
import { openDocuments } from '../../../gateway/dist/cache/documents/open.js';
import type { StoredAnswer } from '../../../gateway/dist/cache/entry.js';
import { type Question, questionOf } from '../../../gateway/dist/cache/question.js';
import { QuestionEmbedder } from '../../../gateway/dist/cache/question-embedder.js';
import { VectorIndex } from '../../../gateway/dist/cache/vector-index/vector-index.js';
import { ModelJudge } from '../../../gateway/dist/cache/verification/model-judge.js';
import { TokenVerifier } from '../../../gateway/dist/cache/verification/token-verifier.js';
import { createLogger } from '../../../gateway/dist/logging.js';
import { Metrics } from '../../../gateway/dist/metrics/metrics.js';
import { SteadyClock } from '../../../gateway/dist/steady-clock.js';
import { GREEDY } from '../greedy.ts';
import { ONE_TENANT } from '../local-engine.ts';

/** The answer cache as the gateway has it, without HTTP and without an engine. */
export interface CacheSetting {
  readonly cache: AnswerCache;
  readonly categories: CategoryTable;
  readonly documents: DocumentStore;
  readonly index: VectorIndex;
  close(): Promise<void>;
}

/** What a client that says nothing of the cache gets; the category is given, so that nothing hangs on finding it out. */
export const CONTROLS: CacheControls = {
  reads: true,
  stores: true,
  maxAgeSeconds: null,
  onlyIfCached: false,
  ttlSeconds: null,
  category: 'general',
  similarityThreshold: 0,
  tags: [],
};

export const ANSWER: StoredAnswer = {
  choices: [
    {
      text: 'An answer of some sentences, as a small model gives them. It goes on for a while, and then it ends.',
      toolCalls: [],
      reason: 'stop',
      stopReason: null,
      usage: { promptTokens: 24, completionTokens: 24, cachedPromptTokens: 0 },
    },
  ],
};

/** Opens an empty cache with a store in a file of its own. */
export async function openCacheSetting(embedder: Embedder): Promise<CacheSetting> {
  const folder = mkdtempSync(join(tmpdir(), 'polylora-cache-'));
  const logger = createLogger('silent');
  const clock = new SteadyClock();
  const documents = await openDocuments(join(folder, 'cache.db'), logger);
  const { width, digest } = await embedder.load();
  const categories = new CategoryTable({ general: { maxEntries: 1_000_000, maxBytes: 2 ** 40 } });
  const cache = new AnswerCache({
    categories,
    documents,
    embedder: new QuestionEmbedder({ embedder, mostMilliseconds: 60_000, logger }),
    verifier: new TokenVerifier(),
    judge: new ModelJudge(() => {
      throw new Error('no model is asked here');
    }),
    exactBytes: 64 * 1024 ** 2,
    now: () => clock.now(),
    // As in the server: what is measured costs time.
    metrics: new Metrics().cache,
    logger,
  });
  const index = new VectorIndex({
    width,
    schedule: (work) => void setImmediate(work),
    onWarning: (message) => console.warn(message),
  });
  cache.kept.setVectors({ index, encoder: digest });
  const close = async () => {
    await documents.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { cache, categories, documents, index, close };
}

export interface Asking {
  readonly tenant?: string;
  /** The adapter version's digest. */
  readonly root?: string;
  readonly system?: string;
}

/** A chat's last message as the cache sees it. */
export function questionFor(
  text: string,
  { tenant = 'bench', root = 'base', system }: Asking = {},
): Question {
  const prompt: Prompt = {
    kind: 'chat',
    messages: [
      ...(system === undefined ? [] : [{ role: 'system', content: system } as const]),
      { role: 'user', content: text },
    ],
  };
  const model = {
    id: root,
    parent: null,
    root,
    created: 0,
    maxModelLen: 2048,
    vocabSize: 49_152,
    mixture: null,
    fingerprint: 'fp_bench',
    task: 'generate',
  } as const;
  const request = {
    id: 'r',
    prompt,
    sampling: { ...GREEDY, maxTokens: 64 },
    scheduling: { ...ONE_TENANT, tenant },
    echo: false,
  };
  const question = questionOf({ tenant, server: 'bench', model, requests: [request], isSeeded: false });
  if (question === null) throw new Error('a question that is not kept');
  return question;
}
