import { constants } from 'node:os';

/** A terminal and npm may both deliver one Ctrl-C: a second signal this soon is the same one. */
const SAME_SIGNAL_MILLISECONDS = 500;

/** What is done when the process is told to stop. */
export interface StopSignal {
  /** From now on, the first signal runs this and then exits with status 0. */
  handle(stop: () => Promise<void>): void;
}

/**
 * Takes SIGINT and SIGTERM: until there is something to stop, and at the second signal, they end the process at
 * once.
 */
export function onStopSignal(): StopSignal {
  let stop: (() => Promise<void>) | null = null;
  let stoppingSince: number | null = null;
  const onSignal = (signal: 'SIGINT' | 'SIGTERM') => {
    if (stop === null) process.exit(128 + constants.signals[signal]);
    if (stoppingSince === null) {
      stoppingSince = performance.now();
      stop().then(
        () => process.exit(0),
        (error: unknown) => {
          process.stderr.write(`The server did not stop cleanly: ${String(error)}\n`);
          process.exit(1);
        },
      );
    } else if (performance.now() - stoppingSince > SAME_SIGNAL_MILLISECONDS) {
      process.exit(1);
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    handle(newStop) {
      stop = newStop;
    },
  };
}
