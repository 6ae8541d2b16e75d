import { type AdapterLoad, AdapterResidency } from './memory/adapter-residency.ts';
import { PagePool } from './memory/page-pool.ts';
import { BLOCK_TOKENS, blocksFor, type Sequence } from './sequence.ts';

export interface SchedulerOptions {
  readonly pageCount: number;
  /** The most tokens one step computes. */
  readonly maxBatchTokens: number;
  /** The most sequences that run at once. */
  readonly maxRunning: number;
  /** Pages of an adapter's weights. */
  readonly adapterPages: (digest: string) => number;
  readonly onEvictAdapter: (slot: number) => void;
}

/** A sequence's part of a step: compute `rows` tokens from `sequence.computed` on. */
export interface ScheduledSequence {
  readonly sequence: Sequence;
  readonly rows: number;
}

export interface Schedule {
  readonly batch: readonly ScheduledSequence[];
  /** Steps that the batch may run before anything has to be decided anew, each sequence's new token being its next input. */
  readonly steps: number;
  /** Adapters to start reading now, beside the step. */
  readonly loads: readonly AdapterLoad[];
}

/** The most steps that one schedule may be run for. */
const MOST_STEPS = 16;

/**
 * Chooses each step's batch: every decoding sequence first, then chunks of prompts under a token budget
 * (Sarathi-Serve), so that a long prompt never stalls a running stream. Short of pages, the youngest sequence
 * is preempted and recomputed later. Pure: no clock, no I/O, no tensors.
 */
export class Scheduler {
  readonly pool: PagePool;
  readonly adapters: AdapterResidency;
  readonly #options: SchedulerOptions;
  /** In order of admission. */
  readonly #running: Sequence[] = [];
  /** In order of arrival; preempted ones first. */
  readonly #waiting: Sequence[] = [];
  preemptions = 0;

  constructor(options: SchedulerOptions) {
    // More sequences than a step has tokens could not all decode in it: the youngest would starve.
    this.#options = { ...options, maxRunning: Math.min(options.maxRunning, options.maxBatchTokens) };
    this.pool = new PagePool(options.pageCount);
    this.adapters = new AdapterResidency(this.pool, options.onEvictAdapter);
  }

  get running(): readonly Sequence[] {
    return this.#running;
  }

  get waiting(): readonly Sequence[] {
    return this.#waiting;
  }

  get isIdle(): boolean {
    return this.#running.length === 0 && this.#waiting.length === 0;
  }

  /** Whether a sequence of this many tokens could run alone; if not, it never can. */
  canEverFit(tokens: number, adapter: string | null): boolean {
    const adapterPages = adapter === null ? 0 : this.#options.adapterPages(adapter);
    return blocksFor(tokens) + adapterPages <= this.#options.pageCount;
  }

  add(sequence: Sequence): void {
    this.#waiting.push(sequence);
  }

  /** Takes a sequence out, wherever it is, and frees its pages. Only between steps. */
  remove(sequence: Sequence): void {
    const running = this.#running.indexOf(sequence);
    if (running >= 0) {
      this.#running.splice(running, 1);
      this.#release(sequence);
      return;
    }
    const waiting = this.#waiting.indexOf(sequence);
    if (waiting >= 0) this.#waiting.splice(waiting, 1);
  }

  /** The next step. An empty batch with sequences waiting means that all wait for adapters to load. */
  schedule(): Schedule {
    const batch: ScheduledSequence[] = [];
    let budget = this.#options.maxBatchTokens;
    const decoding = this.#running.filter((sequence) => sequence.isDecoding);
    const prefilling = this.#running.filter((sequence) => !sequence.isDecoding);
    for (const sequence of decoding) {
      if (budget === 0 || !this.#running.includes(sequence)) continue;
      if (!this.#grow(sequence)) continue;
      batch.push({ sequence, rows: 1 });
      budget--;
    }
    for (const sequence of prefilling) {
      if (budget === 0 || !this.#running.includes(sequence)) continue;
      const rows = Math.min(budget, sequence.length - sequence.computed);
      batch.push({ sequence, rows });
      budget -= rows;
    }
    const loads = this.#admit(batch, budget);
    // Growing a later sequence may have preempted one that was already in the batch.
    const kept = batch.filter(({ sequence }) => this.#running.includes(sequence));
    return { batch: kept, steps: this.#stepsAhead(kept), loads };
  }

  /** Books what a step computed. */
  computed({ sequence, rows }: ScheduledSequence): void {
    sequence.computed += rows;
  }

  /** Throws when a page is lost or owned twice. For tests and simulations. */
  checkIntegrity(): void {
    this.pool.checkIntegrity();
    const blocks = this.#running.flatMap((sequence) => sequence.blocks);
    if (new Set(blocks).size !== blocks.length) throw new Error('two sequences own one page');
    if (blocks.length !== this.pool.count('kv')) throw new Error('a KV page has no sequence');
    if (this.#waiting.some((sequence) => sequence.blocks.length > 0)) {
      throw new Error('a waiting sequence holds pages');
    }
  }

  /**
   * How long every sequence only decodes, has blocks, and does not reach its last token. Blocks are taken ahead as long
   * as nobody waits for them and nothing has to leave.
   */
  #stepsAhead(batch: readonly ScheduledSequence[]): number {
    if (batch.length < this.#running.length || batch.some(({ sequence }) => !sequence.isDecoding)) return 1;
    let steps = MOST_STEPS;
    for (const { sequence } of batch) steps = Math.min(steps, sequence.maxTokens - sequence.output.length);
    for (const { sequence } of batch) {
      const missing = blocksFor(sequence.computed + steps) - sequence.blocks.length;
      if (missing > 0 && this.#waiting.length === 0) {
        sequence.blocks.push(...(this.pool.take(missing, 'kv') ?? []));
      }
      steps = Math.min(steps, sequence.blocks.length * BLOCK_TOKENS - sequence.computed);
    }
    return Math.max(steps, 1);
  }

  /** Makes room for a decoding sequence's next token; preempts the youngest, at worst the sequence itself. */
  #grow(sequence: Sequence): boolean {
    if (sequence.blocks.length >= blocksFor(sequence.computed + 1)) return true;
    while (!this.adapters.makeRoom(1, new Set())) {
      const youngest = this.#running[this.#running.length - 1]!;
      this.#preempt(youngest);
      if (youngest === sequence) return false;
    }
    sequence.blocks.push(...this.pool.take(1, 'kv')!);
    return true;
  }

  #preempt(sequence: Sequence): void {
    this.#running.splice(this.#running.indexOf(sequence), 1);
    this.#release(sequence);
    this.#waiting.unshift(sequence);
    this.preemptions++;
  }

  #release(sequence: Sequence): void {
    this.pool.give(sequence.blocks, 'kv');
    sequence.blocks = [];
    sequence.computed = 0;
    if (sequence.adapter !== null) this.adapters.release(sequence.adapter);
  }

  /**
   * Starts waiting sequences in order of arrival while budget and pages last. One whose adapter is still being
   * read is passed over; one that lacks pages is not, so that a large request cannot starve.
   */
  #admit(batch: ScheduledSequence[], budget: number): AdapterLoad[] {
    const loads: AdapterLoad[] = [];
    const wanted = new Set<string>();
    let left = budget;
    for (const sequence of [...this.#waiting]) {
      if (left === 0 || this.#running.length >= this.#options.maxRunning) break;
      if (sequence.adapter !== null) {
        wanted.add(sequence.adapter);
        if (this.adapters.state(sequence.adapter) === 'absent') {
          const pages = this.#options.adapterPages(sequence.adapter);
          const load = this.adapters.reserve(sequence.adapter, pages, wanted);
          if (load === null) break;
          loads.push(load);
        }
        if (this.adapters.state(sequence.adapter) === 'loading') continue;
      }
      const blocks = blocksFor(sequence.length);
      if (!this.adapters.makeRoom(blocks, wanted)) break;
      sequence.blocks = this.pool.take(blocks, 'kv')!;
      if (sequence.adapter !== null) this.adapters.retain(sequence.adapter);
      this.#waiting.splice(this.#waiting.indexOf(sequence), 1);
      this.#running.push(sequence);
      const rows = Math.min(left, sequence.length);
      batch.push({ sequence, rows });
      left -= rows;
    }
    return loads;
  }
}
