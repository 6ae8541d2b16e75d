import { createContext, Script } from 'node:vm';

const context: { work?: () => void } = createContext({});
const script = new Script('work()');

/** What was to be done took too long, and was given up where it was. */
export class TimeLimitReached extends Error {
  constructor(milliseconds: number) {
    super(`it did not end within ${milliseconds} ms`);
  }
}

/**
 * Does something that may never end by itself. V8 ends it: what it changed until then stays changed.
 *
 * @throws TimeLimitReached after so many milliseconds
 */
export function withTimeLimit<T>(milliseconds: number, work: () => T): T {
  let result: { readonly value: T } | undefined;
  context.work = () => {
    result = { value: work() };
  };
  try {
    script.runInContext(context, { timeout: milliseconds });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    throw new TimeLimitReached(milliseconds);
  } finally {
    delete context.work;
  }
  return result!.value;
}
