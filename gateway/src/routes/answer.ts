import type { Context } from 'hono';
import { toApiError } from '../errors.ts';
import type { Generation } from '../generation.ts';
import type { GatewayEnv } from '../http/context.ts';
import type { Job } from '../jobs/job.ts';
import type { Logger } from '../logging.ts';
import { bodyOf, EVENT_STREAM_HEADERS, eventFrames } from '../openai/sse.ts';

/** Sends a generation as one JSON object or as a stream of events, and closes it whatever happens. */
export async function answer(
  c: Context<GatewayEnv>,
  logger: Logger,
  generation: Generation,
  { whole, chunks }: Job,
): Promise<Response> {
  if (chunks === null) {
    try {
      return c.json(await whole(generation.events));
    } finally {
      generation.close();
    }
  }
  const requestId = c.get('requestId');
  const frames = eventFrames(chunks(generation.events), (thrown) => {
    const { code, status } = toApiError(thrown);
    // The status line was 200; this says how the stream ended.
    if (status >= 500) logger.error({ requestId, code, err: thrown }, 'stream failed');
    else logger.info({ requestId, code }, 'stream ended early');
  });
  return c.body(bodyOf(frames, generation.close), 200, EVENT_STREAM_HEADERS);
}
