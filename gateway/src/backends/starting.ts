import { EngineError, errorEvent } from '@polylora/engine';
import type { Backend, BackendEvent, BackendStats } from './backend.ts';
import { apiErrorOf } from './failure.ts';

const STARTING = new EngineError('engine_unavailable', 'The engine is still starting.');

/** Stands for a backend while it starts: not ready, and knows no model. */
export class StartingBackend implements Backend {
  readonly ready = false;
  readonly base = null;
  readonly tokenizer = null;
  readonly answer = null;

  async models(): Promise<[]> {
    return [];
  }

  async find(): Promise<null> {
    return null;
  }

  mix(): never {
    throw STARTING;
  }

  async *generate(): AsyncGenerator<BackendEvent> {
    yield errorEvent(STARTING);
  }

  async embed(): Promise<never> {
    throw apiErrorOf(errorEvent(STARTING));
  }

  async stats(): Promise<BackendStats> {
    throw STARTING;
  }

  async close(): Promise<void> {}
}
