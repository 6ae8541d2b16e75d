import { type AdaptersStore, type Principal, StoreError } from '@polylora/adapters-store';
import type { AdapterWeights } from '@polylora/engine';
import type { AdapterCatalog, CatalogAdapter } from './catalog.ts';

/** More are not listed: a client that has so many asks for them by name. */
const MOST_LISTED = 1_000;

/** The store's adapters, each for whom it was granted to. */
export class StoreCatalog implements AdapterCatalog {
  readonly #store: AdaptersStore;

  constructor(store: AdaptersStore) {
    this.#store = store;
  }

  async find(name: string, principal: Principal): Promise<CatalogAdapter | null> {
    const version = await this.#store.resolve(name, principal);
    return version === null
      ? null
      : {
          name,
          digest: version.digest,
          task: version.task,
          createdAt: seconds(version.createdAt),
        };
  }

  async list(principal: Principal): Promise<readonly CatalogAdapter[]> {
    const entries = await this.#store.list(principal, { limit: MOST_LISTED, servable: true });
    return entries.map(({ name, digest, task, movedAt }) => ({
      name,
      digest,
      task,
      createdAt: seconds(movedAt),
    }));
  }

  async weights(digest: string): Promise<AdapterWeights | null> {
    try {
      return await this.#store.weights(digest);
    } catch (error) {
      if (error instanceof StoreError && error.code === 'adapter_not_found') return null;
      throw error;
    }
  }

  hold(digest: string): () => void {
    return this.#store.hold(digest);
  }

  /** The store is whoever opened it's to close. */
  async close(): Promise<void> {}
}

function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}
