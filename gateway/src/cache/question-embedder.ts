import type { Embedder, Embedding } from '@polylora/engine';
import type { Logger } from '../logging.ts';

export interface QuestionEmbedderOptions {
  readonly embedder: Embedder;
  /** A question that takes longer is answered without the cache: it never costs more than this. */
  readonly mostMilliseconds: number;
  readonly logger: Logger;
}

/** An embedding, and whether the text goes on after what it is of. */
export type QuestionEmbedding = Embedding & { readonly isCut: boolean };

/** Makes the embeddings of questions, in time or not at all. */
export class QuestionEmbedder {
  readonly #options: QuestionEmbedderOptions;
  #isFailing = false;

  constructor(options: QuestionEmbedderOptions) {
    this.#options = options;
  }

  /** null: not in time, or it cannot be made. @param options whether it is wanted with a signature */
  async embed(text: string, { signature }: { signature: boolean }): Promise<QuestionEmbedding | null> {
    const { embedder, mostMilliseconds } = this.#options;
    const model = embedder.model;
    // Loading takes seconds, which nobody waits for here.
    if (model === null) return null;
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), mostMilliseconds);
    });
    const abort = new AbortController();
    try {
      const made = embedder.embed({ inputs: [text], truncate: 'model', signature }, abort.signal);
      const embeddings = await Promise.race([made, tooLate]);
      if (embeddings === null) {
        made.catch(() => {});
        abort.abort();
        return null;
      }
      this.#isFailing = false;
      const [embedding] = embeddings;
      if (embedding === undefined) return null;
      return { ...embedding, isCut: embedding.tokenIds.length >= model.maxTokens };
    } catch (error) {
      this.#tell(error);
      return null;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Once for each time that it begins to fail. */
  #tell(error: unknown): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    this.#options.logger.warn({ err: error }, 'questions cannot be embedded: only equal ones are found');
  }
}
