import type { BackendEvent } from '../backends/backend.ts';

type CounterName = 'promptTokens' | 'generationTokens';
type HistogramName =
  | 'firstToken'
  | 'interToken'
  | 'perOutputToken'
  | 'endToEnd'
  | 'promptLength'
  | 'generationLength'
  | 'queueTime';

/** Where a sequence's measurements go. */
export interface SequenceMetrics {
  count(name: CounterName, value: number): void;
  observe(name: HistogramName, value: number): void;
  countFinished(reason: string): void;
}

/** Measures one sequence by its events. A sequence that ends without one that says how was left by its client. */
export class SequenceMeter {
  readonly #metrics: SequenceMetrics;
  readonly #isAwaited: boolean;
  readonly #arrived = performance.now();
  #previous = this.#arrived;
  #first: number | null = null;
  #tokens = 0;
  #promptTokens: number | null = null;
  #reason = 'abort';
  #queued = 0;

  /** @param isAwaited whether somebody waits for it: otherwise its latencies say nothing of what users see */
  constructor(metrics: SequenceMetrics, isAwaited: boolean) {
    this.#metrics = metrics;
    this.#isAwaited = isAwaited;
  }

  /** @param at when it came; null where it was not told as it happened */
  see(event: BackendEvent, at: number | null): void {
    switch (event.type) {
      case 'start':
        if (event.promptTokens !== null) this.#countPrompt(event.promptTokens);
        break;
      case 'delta':
        if (event.tokens > 0) this.#seeTokens(event.tokens, at);
        break;
      case 'finish':
        if (this.#promptTokens === null) this.#countPrompt(event.usage.promptTokens);
        this.#reason = event.reason;
        this.#queued = event.queuedSeconds;
        break;
      case 'error':
        this.#reason = 'error';
    }
  }

  end(): void {
    const metrics = this.#metrics;
    metrics.countFinished(this.#reason);
    if (this.#reason !== 'stop' && this.#reason !== 'length') return;
    metrics.observe('promptLength', this.#promptTokens ?? 0);
    metrics.observe('generationLength', this.#tokens);
    if (!this.#isAwaited) return;
    metrics.observe('endToEnd', (performance.now() - this.#arrived) / 1000);
    metrics.observe('queueTime', this.#queued);
    if (this.#first !== null && this.#tokens > 1) {
      metrics.observe('perOutputToken', (this.#previous - this.#first) / 1000 / (this.#tokens - 1));
    }
  }

  #countPrompt(tokens: number): void {
    this.#promptTokens = tokens;
    this.#metrics.count('promptTokens', tokens);
  }

  #seeTokens(tokens: number, at: number | null): void {
    this.#tokens += tokens;
    this.#metrics.count('generationTokens', tokens);
    if (at === null) return;
    const seconds = (at - this.#previous) / 1000;
    if (this.#isAwaited && this.#first === null) this.#metrics.observe('firstToken', seconds);
    else if (this.#isAwaited) {
      for (let i = 0; i < tokens; i++) this.#metrics.observe('interToken', seconds / tokens);
    }
    this.#first ??= at;
    this.#previous = at;
  }
}
