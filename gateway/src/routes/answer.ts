import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import type { BackendModel } from '../backends/backend.ts';
import { toApiError } from '../errors.ts';
import type { ChoiceEvent, Generation } from '../generation.ts';
import type { GatewayEnv } from '../http/context.ts';
import type { Logger } from '../logging.ts';
import type { AnswerHead } from '../openai/chat-response.ts';
import { bodyOf, EVENT_STREAM_HEADERS, eventFrames } from '../openai/sse.ts';

/** What every answer and chunk begins with. `kind` is the prefix of its id, as OpenAI's. */
export function answerHead(kind: string, model: BackendModel): AnswerHead {
  return {
    id: `${kind}-${randomUUID().replaceAll('-', '')}`,
    created: Math.floor(Date.now() / 1000),
    model: model.id,
    system_fingerprint: model.fingerprint,
  };
}

/** How a route writes its answer. */
export interface AnswerShape {
  readonly whole: (events: AsyncIterable<ChoiceEvent>) => Promise<object>;
  /** null where the client did not ask for a stream. */
  readonly chunks: ((events: AsyncIterable<ChoiceEvent>) => AsyncIterable<object>) | null;
}

/** Sends a generation as one JSON object or as a stream of events, and closes it whatever happens. */
export async function answer(
  c: Context<GatewayEnv>,
  logger: Logger,
  generation: Generation,
  { whole, chunks }: AnswerShape,
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
