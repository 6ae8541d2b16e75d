/** The answer cache's store in a file of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCacheDatabase } from '@polylora/adapters-store';
import type { DocumentStore } from '../../gateway/src/cache/documents/document-store.ts';
import { openDocuments } from '../../gateway/src/cache/documents/open.ts';
import { createLogger } from '../../gateway/src/logging.ts';

export interface CacheStore {
  readonly documents: DocumentStore;
  /** The ids of all that is in it. */
  ids(): Promise<string[]>;
  /** Has it take no changes while something is done: another holds them up. */
  whileHeld<T>(work: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export async function openCacheStore(): Promise<CacheStore> {
  const folder = await mkdtemp(join(tmpdir(), 'polylora-cache-store-'));
  const location = join(folder, 'cache.db');
  const documents = await openDocuments(location, createLogger('silent'));
  return {
    documents,
    async ids() {
      const found = await documents.find({}, { limit: 100_000 });
      return found.map(({ id }) => id).sort();
    },
    async whileHeld(work) {
      const { working, reading } = await openCacheDatabase<{ cache_state: { last: number } }>(location);
      try {
        return await working.transaction().execute(async (transaction) => {
          await transaction
            .updateTable('cache_state')
            .set((expression) => ({ last: expression.ref('last') }))
            .execute();
          return work();
        });
      } finally {
        await Promise.all([working.destroy(), reading.destroy()]);
      }
    },
    async close() {
      await documents.close();
      await rm(folder, { recursive: true });
    },
  };
}
