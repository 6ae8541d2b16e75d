import { Badge } from '../../components/badge.tsx';
import type { Residence } from './residence.ts';
import './adapters.css';

interface MemoryCellProps {
  /** null: it is not in memory. */
  readonly residence: Residence | null;
  readonly release: string;
  readonly isBusy: boolean;
  /** Has it held, or let go. */
  readonly onHold: (isHeld: boolean) => void;
}

/** Whether a version is in the engine's memory, and whether it may leave it. (Pins are about the store.) */
export function MemoryCell({ residence, release, isBusy, onHold }: MemoryCellProps) {
  const isHeld = residence?.pinned === true;
  return (
    <span class="memory">
      {residence === null ? (
        <span class="muted">not loaded</span>
      ) : (
        <Badge tone={isHeld ? 'accent' : 'good'}>{isHeld ? 'held' : 'loaded'}</Badge>
      )}
      <button type="button" class="button small" disabled={isBusy} onClick={() => onHold(!isHeld)}>
        {isHeld ? 'Let go' : 'Hold in memory'}
        <span class="unseen"> {release}</span>
      </button>
    </span>
  );
}
