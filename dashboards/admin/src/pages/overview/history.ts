/** What the server did in the last minutes, a second each, as the stream tells it. */
import type { Snapshot } from '../../api/types.ts';

/** Five minutes. */
const MOST = 300;

/** The snapshots with one more; one of a time that is there already (after a reconnection) replaces it. */
export function withSnapshot(history: readonly Snapshot[], snapshot: Snapshot): readonly Snapshot[] {
  const earlier = history.filter(({ at }) => at < snapshot.at);
  return [...earlier.slice(-(MOST - 1)), snapshot];
}

/** A history that was sent, in its order and no longer than what is shown. */
export function historyOf(data: readonly Snapshot[]): readonly Snapshot[] {
  return [...data].sort((a, b) => a.at - b.at).slice(-MOST);
}
