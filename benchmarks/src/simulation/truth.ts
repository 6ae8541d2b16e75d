import type { ScheduledSequence } from '@polylora/engine/scheduling';

/**
 * What things take on the machine of the reports beside this folder: SmolLM2-135M-Instruct on two cores, 8-bit
 * weights, rank-16 adapters. The scheduler is never told; it learns from what its steps took, as it does in the engine.
 */
const MILLISECOND = 1e-3;
/** kernels.md, QuantizedLinear: the line through 1 row (6.008 ms) and 16 rows (20.810 ms), at no rows. */
const WEIGHTS_SECONDS = 5.02 * MILLISECOND;
/** The slope of that line: a row whose next token is chosen. */
const DECODE_ROW_SECONDS = 0.987 * MILLISECOND;
/** kernels.md, QuantizedLinear: from 128 rows (127.096 ms) to 512 rows (481.588 ms), a row. */
const PROMPT_ROW_SECONDS = 0.923 * MILLISECOND;
/** kernels.md, PagedAttention: 16 sequences decode after 512 tokens in 13.203 ms. */
const DECODE_CONTEXT_SECONDS = (13.203 * MILLISECOND) / (16 * 512);
/** kernels.md, PagedAttention: a prompt of 512 tokens in 91.830 ms, each token after half of them on average. */
const PROMPT_CONTEXT_SECONDS = (91.83 * MILLISECOND) / (512 * 256);
/**
 * throughput.md, 32 tokens in and 256 out: 16 rows at 537 tokens a second take 29.8 ms a step. The above explains
 * 24.9 ms of it at 160 tokens of context; the rest is sampling, norms, the graph and the scheduler.
 */
const OTHER_ROW_SECONDS = 0.3 * MILLISECOND;
/** throughput.md, the same load: 16 distinct adapters make a step of 29.8 ms one of 39.1 ms (409 tokens a second). */
const STEP_ADAPTER_SECONDS = 0.58 * MILLISECOND;
/**
 * adapters.md: 100 adapters asked for equally often (27 read, 185 tokens a second) against 2,000 (123 read, 163), 5,120
 * tokens each: 3.7 s more for 96 more adapters of 6.2 pages on average.
 */
const LOAD_PAGE_SECONDS = 6.2 * MILLISECOND;

/** adapters.md: ranks of the adapters that it measures, an eighth each. */
const RANKS = [8, 8, 8, 8, 16, 16, 32, 64] as const;
/** Pages of 360 KiB that a rank takes on all seven projections, in half floats (docs/adr/0003). */
const PAGES_OF_RANK = 1.66;

/** Pages of the adapter with this number. */
export function adapterPages(number: number): number {
  return Math.ceil(RANKS[number % RANKS.length]! * PAGES_OF_RANK);
}

export function loadSeconds(pages: number): number {
  return pages * LOAD_PAGE_SECONDS;
}

/** Seconds of a step, before it is booked. */
export function stepSeconds(batch: readonly ScheduledSequence[]): number {
  let seconds = WEIGHTS_SECONDS;
  const adapters = new Set<string>();
  for (const { sequence, rows } of batch) {
    if (sequence.adapter !== null) adapters.add(sequence.adapter);
    if (sequence.isDecoding) {
      seconds += DECODE_ROW_SECONDS + OTHER_ROW_SECONDS + sequence.computed * DECODE_CONTEXT_SECONDS;
    } else {
      seconds += rows * (PROMPT_ROW_SECONDS + (sequence.computed + rows / 2) * PROMPT_CONTEXT_SECONDS);
    }
  }
  return seconds + adapters.size * STEP_ADAPTER_SECONDS;
}
