/** Who got how much of the machine lately. */
import type { Snapshot } from '../../api/types.ts';

/** For so long shares look back: long enough for a prompt to be read, in milliseconds. */
const WINDOW = 30_000;

/**
 * What each tenant that had work in the last half minute was charged for meanwhile, in tokens, as far as the snapshots that it is in
 * tell. Of a server that does not tell there are none.
 */
export function serviceLately(history: readonly Snapshot[]): ReadonlyMap<string, number> {
  const since = (history.at(-1)?.at ?? 0) - WINDOW;
  const totals = new Map<string, number>();
  const lately = new Map<string, number>();
  for (const { at, tenants } of history) {
    if (at < since) continue;
    for (const { tenant, service } of tenants) {
      if (service === null) continue;
      const before = totals.get(tenant) ?? service;
      // Less than before: the engine was started again, and counts from 0.
      const more = service < before ? service : service - before;
      lately.set(tenant, (lately.get(tenant) ?? 0) + more);
      totals.set(tenant, service);
    }
  }
  return lately;
}
