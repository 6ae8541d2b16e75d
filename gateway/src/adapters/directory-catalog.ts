import type { Adapter } from '@polylora/adapters-store';
import type { AdapterWeights } from '@polylora/engine';
import type { AdapterCatalog, CatalogAdapter } from './catalog.ts';

/** The operator's directory of adapters, as it was at the start: for everybody. */
export class DirectoryCatalog implements AdapterCatalog {
  readonly #byName: Map<string, Adapter>;

  constructor(adapters: readonly Adapter[]) {
    this.#byName = new Map(
      adapters.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map((adapter) => [adapter.name, adapter]),
    );
  }

  /** Takes one out that cannot be served. */
  refuse(name: string): void {
    this.#byName.delete(name);
  }

  async find(name: string): Promise<CatalogAdapter | null> {
    return this.#byName.get(name) ?? null;
  }

  async list(): Promise<readonly CatalogAdapter[]> {
    return [...this.#byName.values()];
  }

  async weights(digest: string): Promise<AdapterWeights | null> {
    for (const adapter of this.#byName.values()) if (adapter.digest === digest) return adapter;
    return null;
  }
}
