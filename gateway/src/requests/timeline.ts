import type { FinishReason, RequestTiming } from '@polylora/engine';
import type { BackendEvent } from '../backends/backend.ts';

/** What a request's time goes to. `adapter_load` lies within `queue`, and an upstream's `decode` within `upstream`. */
export const PHASES = [
  'admission',
  'cache',
  'queue',
  'adapter_load',
  'prefill',
  'decode',
  'upstream',
] as const;
export type PhaseName = (typeof PHASES)[number];

/** Times are those of `performance.now()`. */
export interface Phase {
  readonly name: PhaseName;
  readonly from: number;
  readonly until: number;
}

/** Who computes: this machine's engine, token by token or vectors at once, or another server. */
export type Computer = 'engine' | 'vectors' | 'upstream';

/**
 * When what happened to a request: a few numbers that are taken down once, by this process's clock, and made into phases when
 * somebody wants them. Of several choices the first to begin and the last to end count. What is made for others after its own client
 * has left is no part of it.
 */
export class Timeline {
  readonly arrived: number;
  #lookupFrom: number | null = null;
  #lookupUntil: number | null = null;
  #isShared = false;
  #sent: number | null = null;
  #computer: Computer = 'engine';
  #first: number | null = null;
  #last: number | null = null;
  #ended: number | null = null;
  #timing: RequestTiming | null = null;
  /** With spaces between, so that the usual one costs nothing. */
  #finishReasons = '';

  /** @param arrived by `performance.now()` */
  constructor(arrived: number) {
    this.arrived = arrived;
  }

  /** When it was handed to what computes; null: it was not. */
  get sentAt(): number | null {
    return this.#sent;
  }

  /** When its first token came; null: none did, or nobody knows. */
  get firstAt(): number | null {
    return this.#first;
  }

  /** When the last of it was computed, or that was given up. */
  get computedAt(): number | null {
    return this.#last;
  }

  get endedAt(): number | null {
    return this.#ended;
  }

  /** Of the choices that came to their end, in that order. */
  get finishReasons(): readonly FinishReason[] {
    return this.#finishReasons === '' ? [] : (this.#finishReasons.split(' ') as FinishReason[]);
  }

  /** The answer cache is asked from now on. */
  lookUp(): void {
    if (this.#ended === null) this.#lookupFrom = performance.now();
  }

  lookedUp(): void {
    if (this.#ended === null) this.#lookupUntil = performance.now();
  }

  /** Its answer is one that is being made for another. */
  share(): void {
    this.#isShared = true;
  }

  /** It is admitted, and handed over. */
  send(computer: Computer): void {
    if (this.#ended !== null) return;
    this.#sent = performance.now();
    this.#computer = computer;
  }

  /** What it is for was computed. */
  computed(): void {
    if (this.#ended === null) this.#last = performance.now();
  }

  /**
   * Something of a choice came.
   * @param isWhole all of it came at once: when its tokens were made is not known
   */
  take(event: BackendEvent, isWhole = false): void {
    if (this.#ended !== null) return;
    if (event.type === 'delta') {
      if (this.#first !== null || isWhole || event.tokens === 0) return;
      this.#first = performance.now();
      this.#timing = event.timing ?? null;
    } else if (event.type === 'finish') {
      this.#last = performance.now();
      this.#timing ??= event.timing ?? null;
      this.#finishReasons += this.#finishReasons === '' ? event.reason : ` ${event.reason}`;
    } else if (event.type === 'error') {
      this.#last = performance.now();
    }
  }

  /** Nothing more is taken down. */
  end(): void {
    this.#ended ??= performance.now();
  }

  /** All that lasted, in order. @param now until when it lasts where it goes on */
  phases(now = performance.now()): Phase[] {
    const end = this.#ended ?? now;
    const phases: Phase[] = [];
    // What is measured elsewhere is a duration: it lies in what was seen of it here, whatever it says.
    const add = (name: PhaseName, from: number, until: number, within = this.arrived) => {
      const phase = { name, from: Math.max(from, within), until: Math.min(until, end) };
      if (phase.until > phase.from) phases.push(phase);
    };
    add('admission', this.arrived, this.#lookupFrom ?? this.#sent ?? end);
    if (this.#lookupFrom !== null) {
      add('cache', this.#lookupFrom, this.#isShared ? end : (this.#lookupUntil ?? end));
    }
    const sent = this.#sent;
    if (sent === null) return phases;
    const last = this.#last ?? end;
    if (this.#computer === 'upstream') {
      add('upstream', sent, last);
      if (this.#first !== null) add('decode', this.#first, last);
      return phases;
    }
    if (this.#computer === 'vectors') {
      add('prefill', sent, last);
      return phases;
    }
    const timing = this.#timing;
    if (this.#first === null && timing === null) {
      add('queue', sent, last);
      return phases;
    }
    const first = this.#first ?? last;
    const began = timing === null ? sent : Math.max(sent, first - timing.prefillSeconds * 1000);
    if (timing !== null) {
      const queued = Math.max(sent, began - timing.queuedSeconds * 1000);
      add('queue', queued, began);
      const { adapterLoad } = timing;
      if (adapterLoad !== null) {
        const from = queued + adapterLoad.afterSeconds * 1000;
        add('adapter_load', from, Math.min(began, from + adapterLoad.seconds * 1000), queued);
      }
    }
    add('prefill', began, first);
    add('decode', first, last);
    return phases;
  }
}
