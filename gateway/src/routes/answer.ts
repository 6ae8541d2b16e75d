import type { Context } from 'hono';
import { toApiError } from '../errors.ts';
import type { Generation } from '../generation.ts';
import { Ending, type GatewayEnv } from '../http/context.ts';
import type { Job } from '../jobs/job.ts';
import { bodyOf, EVENT_STREAM_HEADERS, eventFrames, namedEventFrames } from '../openai/sse.ts';
import type { GatewayDeps } from './deps.ts';

/** Sends a generation as a stream of events, and closes it whatever happens. */
export function answerStream(
  c: Context<GatewayEnv>,
  { logger, live, metrics }: Pick<GatewayDeps, 'logger' | 'live' | 'metrics'>,
  generation: Generation,
  { chunks, events }: Pick<Job, 'events'> & { readonly chunks: NonNullable<Job['chunks']> },
): Response {
  const requestId = c.get('requestId');
  const record = c.get('record');
  const streaming = new Ending();
  c.set('streaming', streaming);
  const framesOf = events === 'named' ? namedEventFrames : eventFrames;
  const frames = framesOf(chunks(generation.events), (thrown) => {
    const { code, status } = toApiError(thrown);
    metrics.countError(code);
    if (code !== 'client_closed_request') live.meter.failed(c.get('access').principal.tenant);
    record?.fail(code);
    // The status line was 200; this says how the stream ended.
    if (status >= 500) logger.error({ requestId, code, err: thrown }, 'stream failed');
    else logger.info({ requestId, code }, 'stream ended early');
  });
  const leave = () => {
    record?.fail('client_closed_request');
    generation.close();
    streaming.end();
  };
  return c.body(
    bodyOf(frames, leave, () => streaming.end()),
    200,
    EVENT_STREAM_HEADERS,
  );
}
