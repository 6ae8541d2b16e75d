import type { Principal } from '@polylora/adapters-store';
import { isGranted } from '../tenants/model-grants.ts';
import type {
  Backend,
  BackendEmbedding,
  BackendEvent,
  BackendModel,
  BackendRequest,
  BackendStats,
  BackendTokenizer,
  BackendVector,
  WeightedModel,
} from './backend.ts';

/** A backend of which everybody finds only what their tenant's and their key's lists of models let them use. */
export class GrantedBackend implements Backend {
  readonly answer: Backend['answer'];
  readonly #backend: Backend;

  constructor(backend: Backend) {
    this.#backend = backend;
    this.answer = backend.answer?.bind(backend) ?? null;
  }

  get ready(): boolean {
    return this.#backend.ready;
  }

  get tokenizer(): BackendTokenizer | null {
    return this.#backend.tokenizer;
  }

  get base(): BackendModel | null {
    return this.#backend.base;
  }

  async models(principal: Principal): Promise<readonly BackendModel[]> {
    return (await this.#backend.models(principal)).filter((model) => mayUse(principal, model));
  }

  async find(name: string, principal: Principal): Promise<BackendModel | null> {
    const model = await this.#backend.find(name, principal);
    return model !== null && mayUse(principal, model) ? model : null;
  }

  mix(parts: readonly WeightedModel[]): BackendModel {
    return this.#backend.mix(parts);
  }

  generate(model: BackendModel, request: BackendRequest, signal: AbortSignal): AsyncIterable<BackendEvent> {
    return this.#backend.generate(model, request, signal);
  }

  embed(
    model: BackendModel,
    request: BackendEmbedding,
    signal: AbortSignal,
  ): Promise<readonly BackendVector[]> {
    return this.#backend.embed(model, request, signal);
  }

  stats(): Promise<BackendStats | null> {
    return this.#backend.stats();
  }

  close(): Promise<void> {
    return this.#backend.close();
  }
}

function mayUse({ models = [] }: Principal, model: BackendModel): boolean {
  return models.every((list) => isGranted(list, model));
}
