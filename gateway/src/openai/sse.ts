import { toApiError } from '../errors.ts';

const encoder = new TextEncoder();

export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  // Proxies that buffer (nginx) let this stream through.
  'x-accel-buffering': 'no',
} as const;

/**
 * Chunks as server-sent events, with `[DONE]` at the end. A failure is an event with an `error`, which the
 * official SDKs throw, and then the stream ends without `[DONE]`.
 */
export async function* eventFrames(
  chunks: AsyncIterable<object>,
  onFailure: (error: unknown) => void,
): AsyncGenerator<string> {
  try {
    for await (const chunk of chunks) yield frame(chunk);
    yield 'data: [DONE]\n\n';
  } catch (error) {
    onFailure(error);
    yield frame(toApiError(error).body());
  }
}

/**
 * Events of the Responses API, each named by its `type`; the last says how it ended. A failure is an `error` event, in
 * OpenAI's form and with an `error` within, which the official SDKs throw.
 */
export async function* namedEventFrames(
  events: AsyncIterable<object>,
  onFailure: (error: unknown) => void,
): AsyncGenerator<string> {
  let sequenceNumber = 0;
  const named = (data: object) => `event: ${(data as { readonly type?: unknown }).type}\n${frame(data)}`;
  try {
    for await (const event of events) {
      sequenceNumber += 1;
      yield named(event);
    }
  } catch (thrown) {
    onFailure(thrown);
    const { error } = toApiError(thrown).body();
    const { code, message, param } = error;
    yield named({ type: 'error', sequence_number: sequenceNumber, code, message, param, error });
  }
}

function frame(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

/**
 * A response body that asks for the next frame only when the client has taken the last, so nothing piles up
 * here for a slow one.
 * @param onCancel called when the client leaves
 * @param onEnd called when the last frame was taken
 */
export function bodyOf(
  frames: AsyncGenerator<string>,
  onCancel: () => void,
  onEnd = () => {},
): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await frames.next();
        if (done) {
          controller.close();
          onEnd();
        } else controller.enqueue(encoder.encode(value));
      },
      async cancel() {
        onCancel();
        await frames.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}
