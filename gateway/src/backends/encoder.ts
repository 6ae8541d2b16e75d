import type { Principal } from '@polylora/adapters-store';
import { type Embedder, EngineError, errorEvent } from '@polylora/engine';
import type { Cancellation } from '../cancellation.ts';
import { ApiError } from '../errors.ts';
import type { Logger } from '../logging.ts';
import type {
  Backend,
  BackendEmbedding,
  BackendEvent,
  BackendModel,
  BackendRequest,
  BackendVector,
  OnSend,
} from './backend.ts';
import { apiErrorOf } from './failure.ts';
import { WrappedBackend } from './wrapped.ts';

export interface EncoderOptions {
  readonly embedder: Embedder;
  /** The embedding model's name in the API. */
  readonly name: string;
  /** Unix time in seconds. */
  readonly startedAt: number;
  readonly logger: Logger;
}

/** What is wrong where the model cannot be loaded: the operator's affair, not the client's. */
const NOT_LOADED: ReadonlySet<string> = new Set(['model_not_found', 'model_not_supported', 'model_corrupt']);

/** A backend with an embedding model beside its own models, which is closed by whoever made it. */
export class EncoderBackend extends WrappedBackend {
  readonly #options: EncoderOptions;

  constructor(backend: Backend, options: EncoderOptions) {
    const { answer } = backend;
    super(
      backend,
      answer === null
        ? null
        : async (model, request, cancellation, onSend) =>
            model.id === options.name
              ? [refusal(model)]
              : answer.call(backend, model, request, cancellation, onSend),
    );
    this.#options = options;
  }

  override async models(principal: Principal): Promise<readonly BackendModel[]> {
    // An upstream may have one of the same name: this one is found first.
    const others = (await this.inner.models(principal)).filter(({ id }) => id !== this.#options.name);
    return [...others, this.#model];
  }

  override async find(name: string, principal: Principal): Promise<BackendModel | null> {
    return name === this.#options.name ? this.#model : this.inner.find(name, principal);
  }

  override generate(
    model: BackendModel,
    request: BackendRequest,
    cancellation: Cancellation,
    onSend?: OnSend,
  ): AsyncIterable<BackendEvent> {
    return this.#isOurs(model) ? refused(model) : this.inner.generate(model, request, cancellation, onSend);
  }

  override async embed(
    model: BackendModel,
    request: BackendEmbedding,
    cancellation: Cancellation,
    onSend?: () => void,
  ): Promise<readonly BackendVector[]> {
    if (!this.#isOurs(model)) return this.inner.embed(model, request, cancellation, onSend);
    onSend?.();
    const inputs = request.inputs.map((input) => (input.kind === 'text' ? input.text : input.ids));
    const { truncate } = request;
    try {
      const background = request.scheduling.priority === 'batch';
      const asked = { inputs, truncate, background };
      const embedded = await this.#options.embedder.embed(asked, cancellation.signal);
      return embedded.map(({ vector, tokenIds }) => ({ vector, promptTokens: tokenIds.length }));
    } catch (error) {
      throw error instanceof EngineError ? this.#told(error) : error;
    }
  }

  get #model(): BackendModel {
    const { embedder, name, startedAt } = this.#options;
    const loaded = embedder.model;
    return {
      id: name,
      parent: null,
      root: name,
      created: startedAt,
      maxModelLen: loaded?.maxTokens ?? null,
      // Until it is loaded, it says itself which ids it does not have.
      vocabSize: loaded?.vocabSize ?? Number.MAX_SAFE_INTEGER,
      mixture: null,
      fingerprint: `fp_${loaded?.digest.slice(0, 10) ?? name}`,
      task: 'embed',
    };
  }

  /** What a client is told of a failure. */
  #told(error: EngineError): ApiError {
    if (!NOT_LOADED.has(error.code)) return apiErrorOf(errorEvent(error));
    this.#options.logger.error({ reason: error.message }, 'the embedding model cannot be loaded');
    return new ApiError('engine_unavailable', 'The embedding model is not available.');
  }

  #isOurs({ id }: BackendModel): boolean {
    return id === this.#options.name;
  }
}

function refusal({ id }: BackendModel): Extract<BackendEvent, { type: 'error' }> {
  const message = `The model \`${id}\` makes embeddings and does not generate text.`;
  return { type: 'error', code: 'invalid_value', message, retryAfterSeconds: null, param: 'model' };
}

async function* refused(model: BackendModel): AsyncGenerator<BackendEvent> {
  yield refusal(model);
}
