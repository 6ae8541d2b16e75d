import type { BackendEvent } from './backends/backend.ts';

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
  /** @param traceId of the request's trace, where that is sampled; null else */
  observe(name: HistogramName, value: number, traceId: string | null): void;
  countFinished(reason: string): void;
}

/** Measures one sequence by its events. A sequence that ends without one that says how was left by its client. */
export class SequenceMeter {
  readonly #metrics: SequenceMetrics;
  readonly #isAwaited: boolean;
  readonly #traceId: string | null;
  readonly #arrived = performance.now();
  #previous = this.#arrived;
  #first: number | null = null;
  #tokens = 0;
  #promptTokens: number | null = null;
  #reason = 'abort';
  #queued = 0;

  /**
   * @param isAwaited whether somebody waits for it: otherwise its latencies say nothing of what users see
   * @param traceId of the request's trace, where that is sampled; null else
   */
  constructor(metrics: SequenceMetrics, isAwaited: boolean, traceId: string | null = null) {
    this.#metrics = metrics;
    this.#isAwaited = isAwaited;
    this.#traceId = traceId;
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
    this.#metrics.countFinished(this.#reason);
    if (this.#reason !== 'stop' && this.#reason !== 'length') return;
    this.#observe('promptLength', this.#promptTokens ?? 0);
    this.#observe('generationLength', this.#tokens);
    if (!this.#isAwaited) return;
    this.#observe('endToEnd', (performance.now() - this.#arrived) / 1000);
    this.#observe('queueTime', this.#queued);
    if (this.#first !== null && this.#tokens > 1) {
      this.#observe('perOutputToken', (this.#previous - this.#first) / 1000 / (this.#tokens - 1));
    }
  }

  #observe(name: HistogramName, value: number): void {
    this.#metrics.observe(name, value, this.#traceId);
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
    if (this.#isAwaited && this.#first === null) this.#observe('firstToken', seconds);
    else if (this.#isAwaited) {
      for (let i = 0; i < tokens; i++) this.#observe('interToken', seconds / tokens);
    }
    this.#first ??= at;
    this.#previous = at;
  }
}
