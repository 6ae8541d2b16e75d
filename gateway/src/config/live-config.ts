import { readFile } from 'node:fs/promises';
import { ALL_OPTIONS, type Config, type ConfigKey } from './schema.ts';

/** How often the file is looked at. Reading it finds what watching misses: other file systems, links that are turned, renames. */
const LOOK_MILLISECONDS = 1_000;

/** What came of looking at a file that had changed. */
export type Reload =
  | {
      readonly kind: 'applied';
      readonly config: Config;
      /** Options that have new values from now on. */
      readonly changed: readonly ConfigKey[];
      /** Options whose new values are taken at the next start. */
      readonly waiting: readonly ConfigKey[];
    }
  /** Nothing of the file is taken. */
  | { readonly kind: 'refused'; readonly reason: Error };

export interface LiveConfigOptions {
  /** The file that is looked at; null: there is none, and nothing ever changes. */
  readonly file: string | null;
  /** Reads the whole configuration again, from all of its sources. @throws what is wrong with it */
  readonly load: () => Config;
}

/**
 * The configuration as it is now. Where its file changes, options that can be changed while the server runs take their
 * new values, the others keep theirs until the next start. A file that is not valid changes nothing at all.
 */
export class LiveConfig {
  readonly #options: LiveConfigOptions;
  readonly #listeners: ((reload: Reload) => void)[] = [];
  #current: Config;
  /** The file's content as it was last seen, and as it was last read as a configuration; null: it could not be read. */
  #seen: string | null | undefined;
  #taken: string | null | undefined;
  #timer: NodeJS.Timeout | null = null;

  /** @throws what `load` throws */
  constructor(options: LiveConfigOptions) {
    this.#options = options;
    this.#current = options.load();
  }

  get current(): Config {
    return this.#current;
  }

  onReload(listener: (reload: Reload) => void): void {
    this.#listeners.push(listener);
  }

  /** Looks at the file from now on. */
  async watch(): Promise<void> {
    if (this.#options.file === null || this.#timer !== null) return;
    this.#seen = await this.#content();
    this.#taken = this.#seen;
    this.#timer = setInterval(() => void this.#look(), LOOK_MILLISECONDS);
    this.#timer.unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** Reads the configuration now, whether or not the file seems to have changed. */
  reload(): Reload {
    const reload = this.#read();
    for (const listener of this.#listeners) listener(reload);
    return reload;
  }

  /** A file that is just being written is left until it stays as it is. */
  async #look(): Promise<void> {
    const content = await this.#content();
    const settled = content === this.#seen;
    this.#seen = content;
    if (!settled || content === this.#taken) return;
    this.#taken = content;
    this.reload();
  }

  #read(): Reload {
    let next: Config;
    try {
      next = this.#options.load();
    } catch (error) {
      return { kind: 'refused', reason: error instanceof Error ? error : new Error(String(error)) };
    }
    const differing = ALL_OPTIONS.filter(({ key }) => !isSame(this.#current[key], next[key]));
    const keys = (reloads: boolean) =>
      differing.filter((option) => option.reloads === reloads).map(({ key }) => key);
    const changed = keys(true);
    this.#current = Object.freeze({ ...this.#current, ...pick(next, changed) });
    return { kind: 'applied', config: this.#current, changed, waiting: keys(false) };
  }

  async #content(): Promise<string | null> {
    return readFile(this.#options.file ?? '', 'utf8').catch(() => null);
  }
}

function pick(config: Config, keys: readonly ConfigKey[]): Partial<Config> {
  return Object.fromEntries(keys.map((key) => [key, config[key]]));
}

function isSame(left: unknown, right: unknown): boolean {
  return left === right || JSON.stringify(left) === JSON.stringify(right);
}
