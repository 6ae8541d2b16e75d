import type {
  AdapterDirectory,
  AdapterFolder,
  AdapterProblem,
  AdaptersStore,
} from '@polylora/adapters-store';
import type { AdapterWeights } from '@polylora/engine';
import type { AdapterCatalog, CatalogAdapter } from './catalog.ts';

/** How often the directory is looked through; less often where that takes long. */
const SCAN_MILLISECONDS = 2_000;
/** Of the time, at most the share 1 ÷ this is spent looking. */
const REST = 50;

export interface DirectoryCatalogOptions {
  readonly directory: AdapterDirectory;
  /** Remembers what was checked, so that a start need not read every file again. */
  readonly store: AdaptersStore;
  /** Names that no adapter can have. */
  readonly reserved: ReadonlySet<string>;
  /** Told of a folder that is not served, once for what is wrong with it now. */
  readonly onRefused: (message: string) => void;
  /** Told of a name that is there, or not any more, or stands for something else. */
  readonly onChange: (name: string, change: 'added' | 'changed' | 'removed') => void;
}

/** The operator's directory of adapters, as it is now: for everybody. */
export class DirectoryCatalog implements AdapterCatalog {
  readonly #options: DirectoryCatalogOptions;
  #byName = new Map<string, AdapterFolder>();
  #problems = new Map<string, string>();
  /** Contents that the engine cannot serve. */
  readonly #unservable = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #scanning: Promise<void> = Promise.resolve();
  #closed = false;
  #isOpening = true;
  #onGone: (digest: string) => void = () => {};

  private constructor(options: DirectoryCatalogOptions) {
    this.#options = options;
  }

  /** @throws AdapterError where the directory cannot be read */
  static async open(options: DirectoryCatalogOptions): Promise<DirectoryCatalog> {
    const catalog = new DirectoryCatalog(options);
    const { directory, store } = options;
    const { adapters, problems } = await directory.scan({
      checked: await store.checkedFolders(directory.path),
    });
    catalog.#take(adapters, problems);
    await catalog.#remember();
    catalog.#isOpening = false;
    return catalog;
  }

  /**
   * Looks for changes from time to time.
   * @param onGone told of a content that no name stands for any more
   */
  watch(onGone: (digest: string) => void): void {
    this.#onGone = onGone;
    const later = (milliseconds: number) => {
      if (!this.#closed) this.#timer = setTimeout(look, milliseconds);
    };
    const look = () => {
      const beginning = performance.now();
      this.#scanning = this.refresh()
        // It may be there again the next time; what was served goes on.
        .catch(() => {})
        .finally(() => later(Math.max(SCAN_MILLISECONDS, REST * (performance.now() - beginning))));
    };
    later(SCAN_MILLISECONDS);
  }

  /** Looks for changes now. */
  async refresh(): Promise<void> {
    const { adapters, problems } = await this.#options.directory.scan({ onlySettled: true });
    if (this.#closed) return;
    if (this.#take(adapters, problems)) await this.#remember();
  }

  /** The operator's files stay where the operator has them. */
  hold(): () => void {
    return () => {};
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#scanning;
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  async find(name: string): Promise<CatalogAdapter | null> {
    return this.#byName.get(name) ?? null;
  }

  async list(): Promise<readonly CatalogAdapter[]> {
    return [...this.#byName.values()];
  }

  async weights(digest: string): Promise<AdapterWeights | null> {
    const folder = [...this.#byName.values()].find((each) => each.digest === digest);
    return folder === undefined ? null : this.#options.directory.read(folder.name);
  }

  /** Takes one out that the engine cannot serve, until its content is another. */
  refuse(name: string, digest: string, message: string): void {
    this.#unservable.add(digest);
    this.#byName.delete(name);
    this.#options.onRefused(`${name}: ${message}`);
  }

  async #remember(): Promise<void> {
    const { directory, store } = this.#options;
    // What cannot be remembered is read again some day.
    await store.rememberFolders(directory.path, directory.checked).catch(() => {});
  }

  /** @returns whether a name stands for something else than before */
  #take(adapters: readonly AdapterFolder[], problems: readonly AdapterProblem[]): boolean {
    const { reserved, onRefused, onChange } = this.#options;
    const before = this.#byName;
    const refused = new Map(problems.map(({ name, message }) => [name, message]));
    const served = adapters.filter(
      ({ name, digest }) => !reserved.has(name) && !this.#unservable.has(digest),
    );
    for (const { name } of adapters) {
      if (reserved.has(name)) refused.set(name, `${name}: the name is the base model's; rename its folder.`);
    }
    this.#byName = new Map(
      served.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map((adapter) => [adapter.name, adapter]),
    );
    for (const [name, message] of refused) if (this.#problems.get(name) !== message) onRefused(message);
    this.#problems = refused;
    for (const [name, { digest }] of this.#byName) {
      const old = before.get(name);
      if (old === undefined && !this.#isOpening) onChange(name, 'added');
      else if (old !== undefined && old.digest !== digest) onChange(name, 'changed');
    }
    const digests = new Set([...this.#byName.values()].map(({ digest }) => digest));
    for (const [name, { digest }] of before) {
      if (!this.#byName.has(name)) onChange(name, 'removed');
      if (!digests.has(digest)) this.#onGone(digest);
    }
    return (
      before.size !== this.#byName.size ||
      [...before].some(([name, { digest }]) => this.#byName.get(name)?.digest !== digest)
    );
  }
}
