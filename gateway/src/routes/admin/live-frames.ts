import type { RequestWatch } from '../../requests/request-watch.ts';

/** Between two signs of life: proxies take a connection that is silent for a minute for dead. */
const QUIET_MILLISECONDS = 15_000;

/**
 * What somebody watches as server-sent events, until he leaves, is left behind or may not look any more.
 * @param isStillWelcome asked about as often as there are signs of life
 */
export async function* liveFrames(
  watch: RequestWatch,
  isStillWelcome: () => Promise<boolean>,
  quietMilliseconds = QUIET_MILLISECONDS,
): AsyncGenerator<string> {
  try {
    // At once: a browser takes the stream for open with its first byte.
    yield ': live\n\n';
    let asked = performance.now();
    for (;;) {
      const events = await watch.next(quietMilliseconds);
      if (events === null) return;
      if (performance.now() - asked >= quietMilliseconds) {
        asked = performance.now();
        // Where nobody can tell, he may come again when somebody can.
        if (!(await isStillWelcome().catch(() => false))) return;
      }
      yield events === '' ? ':\n\n' : events;
    }
  } finally {
    watch.close();
  }
}
