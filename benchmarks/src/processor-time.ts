import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second, whatever its timer does. */
const TICK_MILLISECONDS = 10;

/** Milliseconds that processors have worked for a process, and for those that it has started. */
export interface ProcessorTime {
  readonly own: number;
  readonly children: number;
}

/** Reads what Linux says of a process and of its children, of whom none may have ended. @throws Error where /proc does not tell */
export function processorTime(pid: number): ProcessorTime {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
  return {
    own: timeOf(pid),
    children: children.reduce((sum, child) => sum + timeOf(child), 0),
  };
}

function timeOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // A name may have blanks and brackets in it; what is counted follows the last of these.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [user, system] = [Number(fields[11]), Number(fields[12])];
  return (user + system) * TICK_MILLISECONDS;
}
