import type { BackendEvent, BackendModel } from '../backends/backend.ts';
import type { AdapterMeter } from './adapter-meter.ts';
import type { Instruments } from './instruments.ts';
import type { Labels } from './series.ts';
import type { TenantMeter } from './tenant-meter.ts';

/** Where a sequence's measurements go. */
export interface SequenceMeters {
  readonly instruments: Instruments;
  readonly tenants: TenantMeter;
  readonly adapters: AdapterMeter;
  /** The labels of all that is about the model, as of now. */
  readonly model: () => Labels;
}

/** What is measured. */
export interface Measured {
  readonly tenant: string;
  readonly model: Pick<BackendModel, 'id' | 'mixture'>;
  /** Whether somebody waits for it: otherwise its latencies say nothing of what users see. */
  readonly isAwaited: boolean;
  /** null: there is no trace of it. */
  readonly traceId: string | null;
}

/** Measures one sequence by its events. A sequence that ends without one that says how was left by its client. */
export class SequenceMeter {
  readonly #meters: SequenceMeters;
  readonly #measured: Measured;
  /** What its model is called in series. */
  readonly #adapter: string;
  readonly #arrived = performance.now();
  #previous = this.#arrived;
  #first: number | null = null;
  #tokens = 0;
  #promptTokens: number | null = null;
  #reason = 'abort';
  #queued = 0;

  constructor(meters: SequenceMeters, measured: Measured) {
    this.#meters = meters;
    this.#measured = measured;
    this.#adapter = meters.adapters.begin(measured.model);
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
    const { instruments, tenants, adapters, model } = this.#meters;
    const { isAwaited, tenant, traceId } = this.#measured;
    const labels = model();
    instruments.count('finished', 1, { ...labels, finished_reason: this.#reason });
    adapters.end(this.#adapter, this.#tokens);
    if (this.#tokens > 0) tenants.tokens(tenant, 'generation', this.#tokens);
    if (this.#reason !== 'stop' && this.#reason !== 'length') return;
    instruments.observe('promptLength', this.#promptTokens ?? 0, labels);
    instruments.observe('generationLength', this.#tokens, labels);
    if (!isAwaited) return;
    instruments.observe('endToEnd', (performance.now() - this.#arrived) / 1000, labels, traceId);
    instruments.observe('queueTime', this.#queued, labels, traceId);
    if (this.#first === null) return;
    const waited = (this.#first - this.#arrived) / 1000;
    const decoded = (this.#previous - this.#first) / 1000;
    const prefilled = Math.max(0, waited - this.#queued);
    instruments.observe('prefillTime', prefilled, labels);
    instruments.observe('decodeTime', decoded, labels);
    instruments.observe('inferenceTime', prefilled + decoded, labels);
    if (this.#tokens > 1) instruments.observe('perOutputToken', decoded / (this.#tokens - 1), labels);
  }

  #countPrompt(tokens: number): void {
    this.#promptTokens = tokens;
    this.#meters.instruments.count('promptTokens', tokens, this.#meters.model());
    this.#meters.tenants.tokens(this.#measured.tenant, 'prompt', tokens);
  }

  #seeTokens(tokens: number, at: number | null): void {
    const { instruments, model } = this.#meters;
    this.#tokens += tokens;
    instruments.count('generationTokens', tokens, model());
    if (at === null) return;
    const seconds = (at - this.#previous) / 1000;
    if (this.#measured.isAwaited) {
      if (this.#first === null) this.#seeFirst(seconds);
      else for (let i = 0; i < tokens; i++) instruments.observe('interToken', seconds / tokens, model());
    }
    this.#first ??= at;
    this.#previous = at;
  }

  #seeFirst(seconds: number): void {
    const { instruments, tenants, adapters, model } = this.#meters;
    const { tenant, traceId } = this.#measured;
    instruments.observe('firstToken', seconds, model(), traceId);
    tenants.firstToken(tenant, seconds);
    adapters.firstToken(this.#adapter, seconds);
  }
}
