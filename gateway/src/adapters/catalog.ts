import type { AdapterTask, Principal } from '@polylora/adapters-store';
import type { AdapterWeights } from '@polylora/engine';

/** An adapter under a name that clients call it by. */
export interface CatalogAdapter {
  readonly name: string;
  /** Of the content that the name stands for now. */
  readonly digest: string;
  /** What it was made for. */
  readonly task: AdapterTask;
  /** Unix time in seconds. */
  readonly createdAt: number;
}

/** Where the backend finds adapters. What somebody may not use is not there for them. */
export interface AdapterCatalog {
  find(name: string, principal: Principal): Promise<CatalogAdapter | null>;
  /** In the order of their names. */
  list(principal: Principal): Promise<readonly CatalogAdapter[]>;
  /** A content's file and tensors; null where this catalog has no such content. */
  weights(digest: string): Promise<AdapterWeights | null>;
  /** Keeps a content's file where `weights` found it, until what is returned is called. */
  hold(digest: string): () => void;
  close(): Promise<void>;
}

/** Several catalogs as one: of equal names the first one's counts. */
export class CombinedCatalog implements AdapterCatalog {
  readonly #catalogs: readonly AdapterCatalog[];

  constructor(catalogs: readonly AdapterCatalog[]) {
    this.#catalogs = catalogs;
  }

  async find(name: string, principal: Principal): Promise<CatalogAdapter | null> {
    for (const catalog of this.#catalogs) {
      const adapter = await catalog.find(name, principal);
      if (adapter !== null) return adapter;
    }
    return null;
  }

  async list(principal: Principal): Promise<readonly CatalogAdapter[]> {
    const lists = await Promise.all(this.#catalogs.map((catalog) => catalog.list(principal)));
    const byName = new Map<string, CatalogAdapter>();
    for (const adapter of lists.flat()) if (!byName.has(adapter.name)) byName.set(adapter.name, adapter);
    return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async weights(digest: string): Promise<AdapterWeights | null> {
    for (const catalog of this.#catalogs) {
      const weights = await catalog.weights(digest);
      if (weights !== null) return weights;
    }
    return null;
  }

  hold(digest: string): () => void {
    const releases = this.#catalogs.map((catalog) => catalog.hold(digest));
    return () => {
      for (const release of releases) release();
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#catalogs.map((catalog) => catalog.close()));
  }
}
