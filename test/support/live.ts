/** A reader of the server's live figures, as a browser is one. */
import { createParser } from 'eventsource-parser';

// biome-ignore lint/suspicious/noExplicitAny: snapshots are looked into as they are
type Json = any;

export interface LiveReader {
  readonly status: number;
  readonly headers: Headers;
  /** Everything so far. */
  readonly events: readonly { readonly event: string; readonly data: Json }[];
  /** The first snapshot from now on of which this holds; fails where the stream ends before. */
  snapshot(holds?: (snapshot: Json) => boolean): Promise<Json>;
  /** Resolves when the stream has ended. */
  readonly ended: Promise<void>;
  leave(): void;
}

export async function readLive(url: string, key: string): Promise<LiveReader> {
  const leaving = new AbortController();
  const response = await fetch(`${url}/admin/v1/live`, {
    headers: { authorization: `Bearer ${key}` },
    signal: leaving.signal,
  });
  const events: { event: string; data: Json }[] = [];
  const waiting = new Set<() => void>();
  const parser = createParser({
    onEvent: ({ event = 'message', data }) => {
      events.push({ event, data: JSON.parse(data) });
      for (const wake of waiting) wake();
    },
  });
  let hasEnded = false;
  const read = async () => {
    const decoder = new TextDecoder();
    for await (const bytes of response.body!) parser.feed(decoder.decode(bytes, { stream: true }));
  };
  const ended = read()
    .catch(() => {})
    .then(() => {
      hasEnded = true;
      for (const wake of waiting) wake();
    });
  return {
    status: response.status,
    headers: response.headers,
    events,
    ended,
    leave: () => leaving.abort(),
    snapshot(holds = () => true) {
      let seen = events.length;
      return new Promise((resolve, reject) => {
        const look = () => {
          for (; seen < events.length; seen++) {
            const { event, data } = events[seen]!;
            if (event !== 'snapshot' || !holds(data)) continue;
            waiting.delete(look);
            resolve(data);
            return;
          }
          if (hasEnded) reject(new Error('the stream ended'));
        };
        waiting.add(look);
        look();
      });
    },
  };
}
