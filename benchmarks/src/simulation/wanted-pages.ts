import { type Evictable, type EvictionPolicy, LeastRecentlyUsed } from '@polylora/engine/scheduling';
import { Simulation } from './simulation.ts';
import type { Trace } from './trace.ts';

/** More pages than any trace fills. */
const ENDLESS = 2 ** 22;

/** Books from when until when each entry is used. */
class Lifetimes implements EvictionPolicy {
  readonly entries = new Map<Evictable, { readonly from: number; until: number }>();
  readonly #policy = new LeastRecentlyUsed();

  use(entry: Evictable, now: number): void {
    const lifetime = this.entries.get(entry);
    if (lifetime === undefined) this.entries.set(entry, { from: now, until: now });
    else lifetime.until = now;
    this.#policy.use(entry, now);
  }

  evicted(): void {}
}

/** Pages that hold what will be used again, on average over a trace's time: what a pool would have to hold to lose nothing. */
export function wantedPages(trace: Trace): number {
  const lifetimes = new Lifetimes();
  const { seconds } = new Simulation(trace, { pageCount: ENDLESS, policy: lifetimes }).run();
  let pageSeconds = 0;
  for (const [{ pages }, { from, until }] of lifetimes.entries) pageSeconds += pages * (until - from);
  return Math.round(pageSeconds / seconds);
}
