import { type Logger, pino } from 'pino';

export type { Logger };

/** Lines are written when so much has come together, or so much time has passed. */
const WRITTEN_TOGETHER_BYTES = 4096;
const LATEST_MILLISECONDS = 50;

/**
 * JSON lines to standard error. What is logged of a request is its id, route, model, sizes and times: never a
 * prompt, a completion, or a client's words.
 */
export function createLogger(level: string): Logger {
  // A write for each line would cost as much as all else that is done for a request. What is left is written when the process ends.
  const together = { sync: false, minLength: WRITTEN_TOGETHER_BYTES, periodicFlush: LATEST_MILLISECONDS };
  return pino({ level, base: null }, pino.destination({ fd: 2, ...together }));
}
