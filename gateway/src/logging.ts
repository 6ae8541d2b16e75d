import { type Logger, pino } from 'pino';

export type { Logger };

/**
 * JSON lines to standard error. What is logged of a request is its id, route, model, sizes and times: never a
 * prompt, a completion, or a client's words.
 */
export function createLogger(level: string): Logger {
  return pino({ level, base: null }, pino.destination({ fd: 2, sync: true }));
}
