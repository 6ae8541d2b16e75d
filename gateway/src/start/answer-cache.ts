import { hash } from 'node:crypto';
import { join } from 'node:path';
import type { Database } from '@polylora/adapters-store';
import type { Embedder } from '@polylora/engine';
import type { Backend } from '../backends/backend.ts';
import { CacheHost } from '../cache/cache-host.ts';
import type { CacheMetrics } from '../cache/cache-metrics.ts';
import { StoredCategories } from '../cache/categories/stored-categories.ts';
import { openDocuments } from '../cache/documents/open.ts';
import { VectorIndex } from '../cache/vector-index/vector-index.ts';
import { TokenVerifier, VERIFIED_MODEL } from '../cache/verification/token-verifier.ts';
import type { Verifier } from '../cache/verification/verifier.ts';
import type { LiveConfig } from '../config/live-config.ts';
import type { Logger } from '../logging.ts';
import type { SteadyClock } from '../steady-clock.ts';
import { encoderName } from './encoder.ts';

/** Between two slices of work at the index, each of a millisecond. */
const INDEXING_PAUSE_MILLISECONDS = 5;

export interface CacheOptions {
  readonly live: LiveConfig;
  /** null: there is none here. */
  readonly embedder: Embedder | null;
  /** As of now. */
  readonly backend: () => Backend;
  readonly dataDirectory: string;
  /** The metadata's, which has the categories that administrators set. */
  readonly database: Database;
  readonly clock: SteadyClock;
  readonly metrics: CacheMetrics;
  readonly logger: Logger;
}

/** Opens the answer cache as the configuration wants it. @throws StoreUnavailable where its store cannot be opened */
export async function openCache({
  live,
  embedder,
  backend,
  dataDirectory,
  database,
  clock,
  metrics,
  logger,
}: CacheOptions): Promise<CacheHost> {
  const { cache, cacheStore, cacheMemoryBytes, cacheLookupMs, upstream } = live.current;
  const isSemantic = cache === 'semantic';
  const documents = await openDocuments(cacheStore ?? join(dataDirectory, 'cache.db'), logger);
  const stored = await StoredCategories.open({ database, now: () => clock.now(), logger });
  const host = await CacheHost.open({
    documents,
    stored,
    createIndex: (width) =>
      new VectorIndex({
        width,
        // A fifth of a core: requests come first.
        schedule: (work) => void setTimeout(work, INDEXING_PAUSE_MILLISECONDS).unref(),
        onWarning: (message) => logger.warn(message),
      }),
    embedder: isSemantic ? embedder : null,
    verifier: isSemantic ? verifierFor(live.current.embeddingModel, logger) : null,
    exactBytes: cacheMemoryBytes,
    lookupMilliseconds: cacheLookupMs,
    // An address may have a password in it.
    server:
      upstream === null
        ? `embedded ${backend().base?.fingerprint ?? ''}`
        : `upstream ${hash('sha256', upstream)}`,
    backend,
    settings: () => live.current,
    clock,
    metrics,
    logger,
  });
  if (!isSemantic) warnOfUnrecognized(host, logger);
  live.onReload((reload) => {
    if (reload.kind === 'applied' && reload.changed.includes('cacheCategories')) host.configure();
  });
  return host;
}

/** Without an embedding model nothing tells that a question is of a category that is not to be kept. */
function warnOfUnrecognized({ categories }: CacheHost, logger: Logger): void {
  const unrecognized = [...categories.all()].flatMap(({ name, enabled }) => (enabled ? [] : [name]));
  if (unrecognized.length === 0) return;
  logger.warn(
    { categories: unrecognized },
    "with 'cache: exact' questions of categories that are off are kept like others, but where the request or cacheModelCategories names the category",
  );
}

function verifierFor(embeddingModel: string, logger: Logger): Verifier | null {
  if (encoderName(embeddingModel) === VERIFIED_MODEL) return new TokenVerifier();
  logger.warn(
    `similar questions are verified by ${VERIFIED_MODEL} alone: with another embedding model only categories with 'strictness: 0' answer them, by their threshold`,
  );
  return null;
}
