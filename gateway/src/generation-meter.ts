import type { Meter } from './admission/meter.ts';
import type { BackendEvent } from './backends/backend.ts';
import type { SequenceMeter } from './metrics/sequence-meter.ts';
import type { Timeline } from './requests/timeline.ts';

/** Who is told what comes of a request's choices. */
export interface ChoiceObserver {
  /** @param isWhole its answer came at once: when its tokens were made is not known */
  see(choice: number, event: BackendEvent, isWhole?: boolean): void;
  /** Nothing more comes of a choice, whether it has said how it ended or not. @param isWhole as with `see` */
  end(choice: number, isWhole?: boolean): void;
}

/** Tells all who count: what the request is charged for, metrics and live figures of each choice, and what its time went to. */
export class GenerationMeter implements ChoiceObserver {
  readonly #charged: Meter;
  readonly #sequences: readonly SequenceMeter[];
  readonly #timeline: Timeline | null;

  constructor(charged: Meter, sequences: readonly SequenceMeter[], timeline: Timeline | null) {
    this.#charged = charged;
    this.#sequences = sequences;
    this.#timeline = timeline;
  }

  see(choice: number, event: BackendEvent, isWhole = false): void {
    this.#sequences[choice]?.see(event, isWhole ? null : performance.now());
    this.#charged.take(choice, event);
    this.#timeline?.take(event, isWhole);
  }

  end(choice: number, isWhole = false): void {
    this.#sequences[choice]?.end(isWhole ? null : performance.now());
  }
}
