import { useState } from 'preact/hooks';
import type { RequestEntry, RequestState } from '../../api/types.ts';
import { Badge, type Tone } from '../../components/badge.tsx';
import { count, milliseconds } from '../../format/numbers.ts';
import { moment } from '../../format/times.ts';
import { wholeMsOf } from './phase-bars.ts';
import { RequestDetails } from './request-details.tsx';
import { WaterfallStrip } from './waterfall.tsx';

interface RequestRowProps {
  readonly entry: RequestEntry;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly showsTenant: boolean;
}

const STATES: Readonly<Record<RequestState, { readonly tone: Tone; readonly name: string }>> = {
  running: { tone: 'accent', name: 'running' },
  done: { tone: 'good', name: 'done' },
  failed: { tone: 'bad', name: 'failed' },
  aborted: { tone: 'warn', name: 'aborted' },
};

/** A request in a line, which opens to all that is known of it. */
export function RequestRow({ entry, now, showsTenant }: RequestRowProps) {
  const [isOpen, setIsOpen] = useState(false);
  const { tone, name } = STATES[entry.state];
  return (
    <li class="request">
      <button type="button" class="request-head" aria-expanded={isOpen} onClick={() => setIsOpen(!isOpen)}>
        <span class="request-time">{moment(entry.at)}</span>
        <span class="request-what">
          <strong>{entry.model ?? entry.route}</strong>
          <span class="muted small">
            {showsTenant && `${entry.tenant ?? 'nobody who is known'} · `}
            {entry.model !== null && entry.route}
          </span>
        </span>
        <span class="request-state">
          <Badge tone={tone}>{entry.error_code ?? name}</Badge>
          {entry.cache !== null && entry.cache !== 'miss' && entry.cache !== 'bypass' && (
            <Badge tone="accent">{entry.cache} hit</Badge>
          )}
        </span>
        <WaterfallStrip entry={entry} now={now} />
        <span class="number request-tokens">
          {entry.completion_tokens === null ? '' : `${count(entry.completion_tokens)} tokens`}
        </span>
        <span class="number request-duration">{milliseconds(wholeMsOf(entry, now))}</span>
      </button>
      {isOpen && <RequestDetails entry={entry} now={now} />}
    </li>
  );
}
