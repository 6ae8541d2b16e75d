import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ALL_OPTIONS, type Config, type ConfigKey } from './schema.ts';

/** How often the file is looked at. Reading it finds what watching misses: other file systems, links that are turned, renames. */
const LOOK_MILLISECONDS = 1_000;

/** Between two looks where somebody said that the file has changed, and how many there are while it goes on changing. */
const SOON_MILLISECONDS = 100;
const MOST_SOON = 20;

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
  /**
   * Reads the whole configuration, from all of its sources.
   * @param content of the file, where it was read already; null: it could not be
   * @throws what is wrong with it
   */
  readonly load: (content?: string | null) => Config;
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

  /**
   * Reads the configuration now, whether or not the file seems to have changed. One that is just being written is left
   * until it stays as it is.
   */
  async reload(): Promise<Reload> {
    let before: string | null | undefined;
    let content = await this.#content();
    for (let looks = 1; content !== before && looks < MOST_SOON; looks++) {
      await sleep(SOON_MILLISECONDS);
      before = content;
      content = await this.#content();
    }
    this.#seen = content;
    // It is taken when it is watched and stays as it is.
    if (content !== before) return { kind: 'refused', reason: new Error('the file goes on changing') };
    this.#taken = content;
    return this.#take(content);
  }

  /** A file that is just being written is left until it stays as it is. */
  async #look(): Promise<void> {
    const content = await this.#content();
    const settled = content === this.#seen;
    this.#seen = content;
    if (!settled || content === this.#taken) return;
    this.#taken = content;
    this.#take(content);
  }

  #take(content: string | null): Reload {
    const reload = this.#read(content);
    for (const listener of this.#listeners) listener(reload);
    return reload;
  }

  /** @param content as it was seen twice: what is in the file by now may be half of another one */
  #read(content: string | null): Reload {
    let next: Config;
    try {
      next = this.#options.load(content);
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
