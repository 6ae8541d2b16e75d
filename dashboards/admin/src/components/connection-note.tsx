import type { Connection } from '../api/live-events.ts';

const TEXTS: Readonly<Record<Connection, string>> = {
  connecting: 'Connecting …',
  open: 'Live',
  lost: 'Connection lost, trying again',
};

/** Whether what is shown is as it is now. */
export function ConnectionNote({ connection }: { readonly connection: Connection }) {
  return (
    <p class={`connection ${connection}`} role="status">
      {TEXTS[connection]}
    </p>
  );
}
