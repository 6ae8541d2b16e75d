import { setTimeout as sleep } from 'node:timers/promises';

/** Rejects when the promise takes longer. */
export async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  const timeout = new AbortController();
  const late = sleep(milliseconds, undefined, { signal: timeout.signal }).then(() => {
    throw new Error(`no answer within ${milliseconds} ms`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    timeout.abort();
    late.catch(() => {});
  }
}
