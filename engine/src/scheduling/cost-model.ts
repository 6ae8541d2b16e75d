import { FIXED_ROWS, RowCost } from './row-cost.ts';

/** What a step computed and how long it took. */
export interface MeasuredStep {
  readonly decodeRows: number;
  /** As `prefillWork` gives it, over all chunks. */
  readonly prefillWork: number;
  readonly seconds: number;
}

export interface CostModelOptions {
  /** Tokens of context that cost a row as much as the linear layers do. */
  readonly attentionScale: number;
  /** First guesses, until something is measured. */
  readonly decodeSeconds?: number;
  readonly prefillTokenSeconds?: number;
  readonly loadPageSeconds?: number;
}

/** Weight of a new measurement against all before. */
const NEWEST = 0.1;
/** Seconds that work takes on this machine, learnt from what was measured. */
export class CostModel {
  readonly #attentionScale: number;
  /** Seconds of a decode step of up to 2^index rows, where one was seen. */
  readonly #decode: number[] = [];
  readonly #row = new RowCost();
  #firstDecode: number;
  #prefillSecondsPerWork: number;
  #loadPageSeconds: number;

  constructor(options: CostModelOptions) {
    this.#attentionScale = options.attentionScale;
    this.#firstDecode = options.decodeSeconds ?? 0.01;
    this.#prefillSecondsPerWork = options.prefillTokenSeconds ?? 0.001;
    this.#loadPageSeconds = options.loadPageSeconds ?? 0.0002;
  }

  /** Work of reading `rows` tokens after `from` others, in tokens without context. */
  prefillWork(from: number, rows: number): number {
    return rows * (1 + (from + rows / 2) / this.#attentionScale);
  }

  /** The most rows after `from` tokens whose work is at most this. */
  rowsWithin(work: number, from: number): number {
    if (work === Number.POSITIVE_INFINITY) return work;
    // rows² / 2s + rows (1 + from / s) = work, in the form that loses no digits
    const linear = 1 + from / this.#attentionScale;
    const root = Math.sqrt(linear * linear + (2 * work) / this.#attentionScale);
    return Math.floor((2 * work) / (root + linear) + 1e-9);
  }

  prefillSeconds(work: number): number {
    return work * this.#prefillSecondsPerWork;
  }

  /** Work that takes so long. */
  workIn(seconds: number): number {
    return seconds / this.#prefillSecondsPerWork;
  }

  /** A step that only decodes. */
  decodeSeconds(rows: number): number {
    if (rows === 0) return 0;
    const size = bucketOf(rows);
    const known = this.#decode[size];
    if (known !== undefined) return known;
    // The nearest size that was seen, by a line through the cost of an empty step.
    for (let distance = 1; distance < Math.max(this.#decode.length, size) + 1; distance++) {
      for (const other of [size - distance, size + distance]) {
        const seconds = this.#decode[other];
        if (seconds !== undefined) return (seconds * (2 ** size + FIXED_ROWS)) / (2 ** other + FIXED_ROWS);
      }
    }
    return (this.#firstDecode * (rows + FIXED_ROWS)) / (1 + FIXED_ROWS);
  }

  /** What a further row adds to a step that decodes so many rows, as a share of the step's time. */
  rowShare(rows: number): number {
    return this.#row.share(rows);
  }

  loadSeconds(pages: number): number {
    return pages * this.#loadPageSeconds;
  }

  stepped({ decodeRows, prefillWork, seconds }: MeasuredStep): void {
    if (prefillWork === 0) {
      if (decodeRows === 0) return;
      const size = bucketOf(decodeRows);
      this.#decode[size] = mixed(this.#decode[size] ?? seconds, seconds);
      this.#row.stepped(decodeRows, seconds);
      return;
    }
    // Where decoding took all of it by our guess, at least something was the prompt's.
    const prefill = Math.max(seconds - this.decodeSeconds(decodeRows), seconds / 10);
    this.#prefillSecondsPerWork = mixed(this.#prefillSecondsPerWork, prefill / prefillWork);
  }

  loaded(pages: number, seconds: number): void {
    this.#loadPageSeconds = mixed(this.#loadPageSeconds, seconds / pages);
  }
}

function bucketOf(rows: number): number {
  return Math.ceil(Math.log2(rows));
}

function mixed(before: number, newest: number): number {
  return before + NEWEST * (newest - before);
}
