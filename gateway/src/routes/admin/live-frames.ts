import type { Context } from 'hono';
import { welcomeOf } from '../../access/still-welcome.ts';
import type { GatewayEnv } from '../../http/context.ts';
import { bodyOf, EVENT_STREAM_HEADERS } from '../../openai/sse.ts';
import type { GatewayDeps } from '../deps.ts';
import { scopeOf } from './tenancy.ts';

/** After which a reader that was cut off comes again. */
const RETRY_MILLISECONDS = 2_000;

export type LiveDeps = Pick<GatewayDeps, 'live' | 'authenticator' | 'clock'>;

/** Something that goes on until it is closed, as server-sent events. */
export interface LiveSource {
  /** What there is at once. */
  readonly beginning: string;
  /** What comes then, or a sign of life, within a second or so: pages take a stream that is silent for longer for dead. null at the end. */
  next(): Promise<string | null>;
  close(): void;
}

/**
 * Answers with a stream of what goes on. It ends where the reader leaves, where they may not look any more (`welcomeOf`), and with its
 * source.
 * @param open begins it, once the answer is read: nobody does so for one to HEAD
 * @throws ApiError live_views_exceeded
 */
export function liveAnswer(c: Context<GatewayEnv>, deps: LiveDeps, open: () => LiveSource): Response {
  const scope = scopeOf(c);
  deps.live.room.assertRoom(scope);
  const isWelcome = welcomeOf(c, deps);
  const leaving = new AbortController();
  const frames = async function* () {
    const leave = deps.live.room.enter(scope);
    try {
      yield* liveFrames(open(), isWelcome, leaving.signal);
    } finally {
      leave();
    }
  };
  return c.body(
    bodyOf(frames(), () => leaving.abort()),
    200,
    EVENT_STREAM_HEADERS,
  );
}

/** What a source tells, until it ends, the reader leaves or is not welcome any more. @param isWelcome asked before anything is told */
export async function* liveFrames(
  source: LiveSource,
  isWelcome: () => Promise<boolean>,
  leaving: AbortSignal,
): AsyncGenerator<string> {
  const onLeave = () => source.close();
  leaving.addEventListener('abort', onLeave, { once: true });
  try {
    // At once: a browser takes the stream for open with its first byte.
    yield `retry: ${RETRY_MILLISECONDS}\n${source.beginning}`;
    for (;;) {
      const frames = await source.next();
      if (frames === null || !(await isWelcome())) return;
      yield frames;
    }
  } finally {
    leaving.removeEventListener('abort', onLeave);
    source.close();
  }
}

export function frame(event: string, data: object): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
