import { setTimeout as sleep } from 'node:timers/promises';
import type { Embedder, EncoderInfo } from '@polylora/engine';
import type { Logger } from '../logging.ts';
import type { Category } from './categories/category.ts';
import type { CategoryTable } from './categories/category-table.ts';
import { Classifier, type EmbeddedExamples, isSameList } from './categories/classifier.ts';

/** What failed is tried again after this, then after twice as long, */
const PAUSE_MILLISECONDS = 1_000;
/** and so on until this. */
const MOST_PAUSE_MILLISECONDS = 60_000;

/** Whether questions can be embedded and told apart: `failing` where that was tried and is tried again. */
export type EmbeddingState = 'loading' | 'ready' | 'failing';

export interface EmbeddingUpkeepOptions {
  readonly embedder: Embedder;
  readonly categories: CategoryTable;
  /** Told once, before questions are told apart. */
  readonly onLoaded: (model: EncoderInfo) => Promise<void>;
  readonly logger: Logger;
  /** Milliseconds before the first new try. */
  readonly pauseMilliseconds?: number;
}

/** Loads the embedding model and makes the categories' classifier, anew when their examples change. What fails is tried again. */
export class EmbeddingUpkeep {
  readonly #options: EmbeddingUpkeepOptions;
  /** By category, as far as they are embedded. */
  readonly #embedded = new Map<string, EmbeddedExamples>();
  readonly #stop = new AbortController();
  readonly #tried: Promise<void>;
  #haveTried: () => void = () => {};
  #isLoaded = false;
  #isWorking = false;
  #hasFailed = false;

  constructor(options: EmbeddingUpkeepOptions) {
    this.#options = options;
    this.#tried = new Promise((resolve) => {
      this.#haveTried = resolve;
    });
  }

  get state(): EmbeddingState {
    if (this.#isLoaded && this.#options.categories.isReady) return 'ready';
    return this.#hasFailed ? 'failing' : 'loading';
  }

  /** Resolves when all was tried once. */
  get tried(): Promise<void> {
    return this.#tried;
  }

  /** Does what there is to do: at the start, and when the categories are others. One at a time, so that the last one counts. */
  update(): void {
    if (!this.#isWorking) void this.#work();
  }

  close(): void {
    this.#stop.abort();
    this.#haveTried();
  }

  get #isDone(): boolean {
    return this.#stop.signal.aborted || (this.#isLoaded && this.#options.categories.isClassifierCurrent);
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    const { pauseMilliseconds = PAUSE_MILLISECONDS } = this.#options;
    for (let pause = pauseMilliseconds; !this.#isDone; ) {
      try {
        await this.#load();
        await this.#classify();
        pause = pauseMilliseconds;
      } catch (error) {
        this.#failed(error);
        await sleep(pause, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {});
        pause = Math.min(2 * pause, MOST_PAUSE_MILLISECONDS);
      }
    }
    this.#haveTried();
    if (this.#hasFailed && !this.#stop.signal.aborted) this.#recovered();
    this.#isWorking = false;
  }

  async #load(): Promise<void> {
    if (this.#isLoaded) return;
    const model = await this.#options.embedder.load();
    if (this.#stop.signal.aborted) return;
    await this.#options.onLoaded(model);
    this.#isLoaded = true;
  }

  async #classify(): Promise<void> {
    const { categories } = this.#options;
    const shown = [...categories.all()].filter(({ examples }) => examples.length > 0);
    const embedded = await Promise.all(shown.map((category) => this.#examplesOf(category)));
    if (!this.#stop.signal.aborted) categories.setClassifier(new Classifier(embedded));
  }

  /** Those that are as they were are not embedded again. */
  async #examplesOf({ name, examples }: Category): Promise<EmbeddedExamples> {
    const before = this.#embedded.get(name);
    if (before !== undefined && isSameList(before.examples, examples)) return before;
    const asked = { inputs: examples, truncate: 'model', background: true } as const;
    const made = await this.#options.embedder.embed(asked);
    const embedded = { name, examples, vectors: made.map(({ vector }) => vector) };
    this.#embedded.set(name, embedded);
    return embedded;
  }

  #recovered(): void {
    this.#hasFailed = false;
    this.#options.logger.info('the cache can tell what category a question is of');
  }

  /** Told once for each time that it begins to fail. */
  #failed(error: unknown): void {
    this.#haveTried();
    if (this.#hasFailed || this.#stop.signal.aborted) return;
    this.#hasFailed = true;
    const { categories, logger } = this.#options;
    const told =
      this.#isLoaded && categories.isReady
        ? "the categories' new examples cannot be embedded: questions are told apart by the former ones until they can"
        : 'the embedding model cannot be used: until it can, answers are kept only where the category is named';
    logger.error({ err: error }, told);
  }
}
