import { EngineError, errorEvent } from '@polylora/engine';
import type { Backend, BackendEvent, BackendStats, Computer } from './backend.ts';
import { apiErrorOf, notReady } from './failure.ts';

const STARTING = new EngineError('engine_unavailable', 'The engine is still starting.');

/** Stands for a backend while it starts: not ready, and does not know which models there are. */
export class StartingBackend implements Backend {
  readonly ready = false;
  readonly computer: Backend['computer'];
  readonly base = null;
  readonly tokenizer = null;
  readonly answer = null;

  constructor(computer: Backend['computer'] = 'engine') {
    this.computer = computer;
  }

  async models(): Promise<never> {
    throw notReady(this);
  }

  async find(): Promise<never> {
    throw notReady(this);
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

  async pool(): Promise<never> {
    throw apiErrorOf(errorEvent(STARTING));
  }

  async pin(): Promise<never> {
    throw apiErrorOf(errorEvent(STARTING));
  }

  get computers(): readonly Computer[] {
    const unknown = { model: null, url: null, restarts: null, circuit: null, lastError: null, since: null };
    return [{ id: this.computer, kind: this.computer, ready: false, ...unknown }];
  }

  async close(): Promise<void> {}
}
