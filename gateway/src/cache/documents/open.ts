import type { Logger } from '../../logging.ts';
import type { DocumentStore } from './document-store.ts';
import { RedisDocuments } from './redis-documents.ts';
import { SqlDocuments } from './sql-documents.ts';

/** Of all keys in Redis, which others may use as well. */
const REDIS_PREFIX = 'polylora:cache:';

/**
 * Opens the store of a cache's answers.
 * @param location a file of SQLite's, or a `postgres://` or `redis://` URL
 * @throws Error where it cannot be a store at all; one that is away is opened, and comes back
 */
export async function openDocuments(location: string, logger: Logger): Promise<DocumentStore> {
  return /^rediss?:\/\//.test(location)
    ? RedisDocuments.open({ url: location, prefix: REDIS_PREFIX, logger })
    : SqlDocuments.open({ location, logger });
}
