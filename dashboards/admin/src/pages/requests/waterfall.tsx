import type { RequestEntry } from '../../api/types.ts';
import { milliseconds } from '../../format/numbers.ts';
import { type Bar, barsOf, PHASE_NAMES, wholeMsOf } from './phase-bars.ts';

/** The phases of a request beside each other, small. */
export function WaterfallStrip({ entry, now }: { readonly entry: RequestEntry; readonly now: number }) {
  const whole = wholeMsOf(entry, now);
  const bars = barsOf(entry.phases, whole);
  const text = bars
    .map(({ name, durationMs }) => `${PHASE_NAMES[name]} ${milliseconds(durationMs)}`)
    .join(', ');
  return (
    <div class="waterfall-strip" role="img" aria-label={text === '' ? 'No phases yet' : text}>
      {bars.map((bar) => (
        <span key={`${bar.name} ${bar.startMs}`} class={`phase ${bar.name}`} style={placeOf(bar)} />
      ))}
    </div>
  );
}

/** The phases of a request below each other, with their times. */
export function Waterfall({ entry, now }: { readonly entry: RequestEntry; readonly now: number }) {
  const whole = wholeMsOf(entry, now);
  const bars = barsOf(entry.phases, whole);
  if (bars.length === 0) return <p class="muted">No phase is known of it.</p>;
  return (
    <ol class="waterfall">
      {bars.map((bar) => (
        <li key={`${bar.name} ${bar.startMs}`}>
          <span>{PHASE_NAMES[bar.name]}</span>
          <span class="waterfall-lane" aria-hidden="true">
            <span class={`phase ${bar.name}`} style={placeOf(bar)} />
          </span>
          <span class="number">
            {milliseconds(bar.durationMs)}
            <span class="unseen"> from {milliseconds(bar.startMs)} on</span>
          </span>
        </li>
      ))}
    </ol>
  );
}

function placeOf({ left, width }: Bar): { left: string; width: string } {
  return { left: `${left * 100}%`, width: `${width * 100}%` };
}
