/** Where the phases of a request lie on a bar. */
import type { Phase, PhaseName, RequestEntry } from '../../api/types.ts';

export interface Bar {
  readonly name: PhaseName;
  readonly startMs: number;
  readonly durationMs: number;
  /** Shares of the whole width, 0 to 1. */
  readonly left: number;
  readonly width: number;
}

/** Of what is too short to be seen: a share of the width. */
const LEAST_WIDTH = 0.004;

/**
 * The bars of a request, in their order in time. One that goes beyond the end (a clock that was read a moment apart) is
 * cut there.
 * @param wholeMs what the width stands for
 */
export function barsOf(phases: readonly Phase[], wholeMs: number): readonly Bar[] {
  const whole = Math.max(wholeMs, Number.EPSILON);
  return [...phases]
    .sort((a, b) => a.start_ms - b.start_ms)
    .map(({ name, start_ms: startMs, duration_ms: durationMs }) => {
      const left = clamp(startMs / whole, 0, 1 - LEAST_WIDTH);
      const width = clamp(durationMs / whole, LEAST_WIDTH, 1 - left);
      return { name, startMs, durationMs, left, width };
    });
}

/** How long a request took, or has taken as far as it is known. @param now milliseconds since 1970 */
export function wholeMsOf({ at, duration_ms: duration, phases, state }: RequestEntry, now: number): number {
  if (duration !== null) return duration;
  const told = Math.max(0, ...phases.map(({ start_ms: start, duration_ms: ms }) => start + ms));
  return state === 'running' ? Math.max(told, now - at) : told;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}

export const PHASE_NAMES: Readonly<Record<PhaseName, string>> = {
  admission: 'Admission',
  cache: 'Cache lookup',
  queue: 'Queue',
  adapter_load: 'Adapter load',
  prefill: 'Prefill',
  decode: 'Decode',
  upstream: 'Upstream',
};
