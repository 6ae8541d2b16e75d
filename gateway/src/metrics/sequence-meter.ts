import type { FinishReason } from '@polylora/engine';
import type { BackendEvent, BackendModel } from '../backends/backend.ts';
import { ERRORS } from '../errors.ts';
import type { LiveMeter } from '../live/live-meter.ts';
import type { AdapterMeter } from './adapter-meter.ts';
import type { Backlog } from './backlog.ts';
import type { Instruments } from './instruments.ts';
import { type Labels, type Traced, tracedAs } from './series.ts';
import type { TenantMeter } from './tenant-meter.ts';

/** How sequences end. */
export const SEQUENCE_ENDS = ['stop', 'length', 'abort', 'error'] as const;
type SequenceEnd = (typeof SEQUENCE_ENDS)[number];

/** Where a sequence's measurements go. */
export interface SequenceMeters {
  readonly backlog: Backlog;
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
  /** Those who look right now are told as well; null: nobody does. */
  readonly live: LiveMeter | null;
}

/** Measures one sequence by its events, for metrics, which are counted a little later, and for those who look live. */
export class SequenceMeter {
  readonly #meters: SequenceMeters;
  readonly #measured: Measured;
  /** What its model is called in series, once that is counted. */
  #adapter = '';
  readonly #arrived = performance.now();
  #previous = this.#arrived;
  #first: number | null = null;
  #tokens = 0;
  #promptTokens: number | null = null;
  #hasEnded = false;

  constructor(meters: SequenceMeters, measured: Measured) {
    this.#meters = meters;
    this.#measured = measured;
    meters.backlog.add(() => {
      this.#adapter = meters.adapters.begin(measured.model);
    });
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
        if (this.#measured.isAwaited && at !== null) {
          const { live, tenant } = this.#measured;
          live?.queued(tenant, event.queuedSeconds * 1000);
        }
        this.#end(endOf(event.reason), at, event.queuedSeconds);
        break;
      case 'error':
        // What its client is to blame for, or has to come again for, is no failure of the server's.
        this.#end(ERRORS[event.code].status < 500 ? 'abort' : 'error', at);
    }
  }

  /**
   * Nothing more comes: one that has not said how it ended was left by its client.
   * @param at as with `see`
   */
  end(at: number | null): void {
    this.#end('abort', at);
  }

  #end(reason: SequenceEnd, at: number | null, queued = 0): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const { backlog, instruments, tenants, adapters, model } = this.#meters;
    const { isAwaited, tenant, traceId } = this.#measured;
    const tokens = this.#tokens;
    const endToEnd = (performance.now() - this.#arrived) / 1000;
    const trace = tracedAs(traceId);
    const labels = model();
    backlog.add(() => {
      instruments.count('finished', 1, { ...labels, finished_reason: reason });
      adapters.end(this.#adapter, tokens);
      if (tokens > 0) tenants.tokens(tenant, 'generation', tokens);
      if (reason === 'abort' || reason === 'error') {
        if (isAwaited && at !== null && tokens === 0)
          instruments.observe('firstTokenGivenUp', (at - this.#arrived) / 1000, labels);
        return;
      }
      instruments.observe('promptLength', this.#promptTokens ?? 0, labels);
      instruments.observe('generationLength', tokens, labels);
      if (!isAwaited) return;
      instruments.observe('endToEnd', endToEnd, labels, trace);
      instruments.observe('queueTime', queued, labels, trace);
      this.#countTimes(queued, labels);
    });
  }

  /** Of one that has ended, where its tokens were told as they came. */
  #countTimes(queued: number, labels: Labels): void {
    if (this.#first === null) return;
    const { instruments } = this.#meters;
    const waited = (this.#first - this.#arrived) / 1000;
    const decoded = (this.#previous - this.#first) / 1000;
    const prefilled = Math.max(0, waited - queued);
    instruments.observe('prefillTime', prefilled, labels);
    instruments.observe('decodeTime', decoded, labels);
    instruments.observe('inferenceTime', prefilled + decoded, labels);
    if (this.#tokens > 1) instruments.observe('perOutputToken', decoded / (this.#tokens - 1), labels);
  }

  #countPrompt(tokens: number): void {
    const { backlog, instruments, tenants, model } = this.#meters;
    const { tenant, live } = this.#measured;
    this.#promptTokens = tokens;
    const labels = model();
    backlog.add(() => {
      instruments.count('promptTokens', tokens, labels);
      tenants.tokens(tenant, 'prompt', tokens);
    });
    live?.promptRead(tenant, tokens);
  }

  #seeTokens(tokens: number, at: number | null): void {
    const { backlog, instruments, model } = this.#meters;
    const { tenant, isAwaited, live } = this.#measured;
    const isFirst = this.#tokens === 0;
    const milliseconds = at === null ? null : at - this.#previous;
    const seconds = isAwaited && milliseconds !== null ? milliseconds / 1000 : null;
    this.#tokens += tokens;
    live?.generated(tenant, { tokens, isFirst, milliseconds: isAwaited ? milliseconds : null });
    const labels = model();
    const trace = isFirst ? tracedAs(this.#measured.traceId) : null;
    backlog.add(() => {
      instruments.count('generationTokens', tokens, labels);
      if (seconds === null) return;
      if (isFirst) this.#countFirst(seconds, labels, trace);
      else for (let i = 0; i < tokens; i++) instruments.observe('interToken', seconds / tokens, labels);
    });
    if (at === null) return;
    this.#first ??= at;
    this.#previous = at;
  }

  #countFirst(seconds: number, labels: Labels, trace: Traced | null): void {
    const { instruments, tenants, adapters } = this.#meters;
    instruments.observe('firstToken', seconds, labels, trace);
    tenants.firstToken(this.#measured.tenant, seconds);
    adapters.firstToken(this.#adapter, seconds);
  }
}

/** Such as are told that they were aborted have not been left: whoever left is told nothing. What calls tools has stopped by itself. */
function endOf(reason: FinishReason): SequenceEnd {
  if (reason === 'abort') return 'error';
  return reason === 'tool_calls' ? 'stop' : reason;
}
