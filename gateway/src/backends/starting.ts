import type { Backend, BackendEvent, BackendStats } from './backend.ts';

/** Stands for a backend while it starts: not ready, and knows no model. */
export class StartingBackend implements Backend {
  readonly ready = false;
  readonly models = [];

  find(): undefined {
    return undefined;
  }

  async *generate(): AsyncGenerator<BackendEvent> {
    yield { type: 'error', code: 'engine_unavailable', message: 'The engine is still starting.' };
  }

  async stats(): Promise<BackendStats> {
    return {
      running: 0,
      waiting: 0,
      pagesTotal: 0,
      pagesKv: 0,
      pagesAdapter: 0,
      runningAdapters: [],
      waitingAdapters: [],
      preemptionsTotal: 0,
      adapterLoadsTotal: 0,
      restartsTotal: 0,
    };
  }

  async close(): Promise<void> {}
}
