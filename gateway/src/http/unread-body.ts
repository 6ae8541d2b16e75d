import type { IncomingMessage } from 'node:http';

/** What a client may still send of a request that is refused, before it is told so. */
const MOST_BYTES = 4 << 20;
/** A client that sends nothing for so long may be waiting for the answer. */
const SILENCE_MILLISECONDS = 1_000;
const MOST_MILLISECONDS = 30_000;

/**
 * Reads what is left of a request that is refused, and throws it away. Many clients read no answer before they have sent all, and
 * a connection that is closed before that is reset: such a client sees a broken pipe where it should see why it was refused.
 * Resolves when all is read, when it is more than `MOST_BYTES`, or when the client pauses.
 */
export function passOver(incoming: IncomingMessage): Promise<void> {
  const announced = Number(incoming.headers['content-length'] ?? 0);
  if (incoming.complete || incoming.destroyed || announced > MOST_BYTES) return Promise.resolve();
  return new Promise((resolve) => {
    let left = MOST_BYTES;
    const take = (chunk: Buffer) => {
      left -= chunk.length;
      silence.refresh();
      if (left < 0) finish();
    };
    const finish = () => {
      clearTimeout(silence);
      clearTimeout(end);
      incoming.off('data', take);
      incoming.off('end', finish);
      incoming.off('close', finish);
      if (!incoming.complete) incoming.pause();
      resolve();
    };
    const silence = setTimeout(finish, SILENCE_MILLISECONDS);
    const end = setTimeout(finish, MOST_MILLISECONDS);
    // Who read it until now has stopped, and would pause it for good once what was read is not taken.
    incoming.removeAllListeners('data');
    incoming.on('data', take);
    incoming.on('end', finish);
    incoming.on('close', finish);
    incoming.resume();
  });
}
