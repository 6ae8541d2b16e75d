import type { Principal } from '@polylora/adapters-store';
import type { Cancellation } from '../cancellation.ts';
import type {
  Backend,
  BackendEmbedding,
  BackendEvent,
  BackendModel,
  BackendPool,
  BackendRequest,
  BackendStats,
  BackendTokenizer,
  BackendVector,
  Computer,
  OnSend,
  WeightedModel,
} from './backend.ts';

/** A backend that is another one, but for what is said otherwise. */
export abstract class WrappedBackend implements Backend {
  readonly answer: Backend['answer'];
  protected readonly inner: Backend;

  constructor(inner: Backend, answer: Backend['answer'] = inner.answer?.bind(inner) ?? null) {
    this.inner = inner;
    this.answer = answer;
  }

  get ready(): boolean {
    return this.inner.ready;
  }

  get computer(): Backend['computer'] {
    return this.inner.computer;
  }

  get tokenizer(): BackendTokenizer | null {
    return this.inner.tokenizer;
  }

  get base(): BackendModel | null {
    return this.inner.base;
  }

  models(principal: Principal): Promise<readonly BackendModel[]> {
    return this.inner.models(principal);
  }

  find(name: string, principal: Principal): Promise<BackendModel | null> {
    return this.inner.find(name, principal);
  }

  mix(parts: readonly WeightedModel[]): BackendModel {
    return this.inner.mix(parts);
  }

  generate(
    model: BackendModel,
    request: BackendRequest,
    cancellation: Cancellation,
    onSend?: OnSend,
  ): AsyncIterable<BackendEvent> {
    return this.inner.generate(model, request, cancellation, onSend);
  }

  embed(
    model: BackendModel,
    request: BackendEmbedding,
    cancellation: Cancellation,
    onSend?: () => void,
  ): Promise<readonly BackendVector[]> {
    return this.inner.embed(model, request, cancellation, onSend);
  }

  stats(): Promise<BackendStats | null> {
    return this.inner.stats();
  }

  pool(): Promise<BackendPool | null> {
    return this.inner.pool();
  }

  pin(adapter: BackendModel, pinned: boolean): Promise<void> {
    return this.inner.pin(adapter, pinned);
  }

  get computers(): readonly Computer[] {
    return this.inner.computers;
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
