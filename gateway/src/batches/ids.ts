import { randomBytes } from 'node:crypto';

/** An id like OpenAI's that cannot be guessed. Begins with the time, so that ids sort as they were made. */
export function newId(prefix: 'file-' | 'batch_' | 'batch_req_'): string {
  return `${prefix}${Date.now().toString(16).padStart(12, '0')}${randomBytes(10).toString('hex')}`;
}
