import { randomUUID } from 'node:crypto';

type Prefix = 'batch_' | 'batch_req_' | 'call_' | 'fc_' | 'fco_' | 'file-' | 'msg_' | 'resp_';

/** An id like OpenAI's that cannot be guessed. Begins with the time, so that ids sort as they were made. */
export function newId(prefix: Prefix): string {
  // Of a UUID, because Node keeps random bytes ready for those: a batch needs an id for each line.
  const random = randomUUID().replaceAll('-', '').slice(12);
  return `${prefix}${Date.now().toString(16).padStart(12, '0')}${random}`;
}
