/** A streamed completion as its client saw it; times in milliseconds on this process's clock. */
export interface StreamedCompletion {
  readonly text: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly startedAt: number;
  readonly firstTokenAt: number;
  readonly endedAt: number;
}

interface Chunk {
  readonly error?: { readonly message: string };
  readonly choices?: readonly { readonly text: string }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
}

/** The server answered with an error instead of a stream. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly status: number;
  readonly retryAfter: string | null;

  constructor(response: Response, text: string) {
    super(`${response.status}: ${text}`);
    this.status = response.status;
    this.retryAfter = response.headers.get('retry-after');
  }
}

interface Client {
  /** Whose requests these are. */
  readonly apiKey?: string;
  /** Aborted when the client leaves. */
  readonly signal?: AbortSignal;
}

/**
 * Asks `/v1/completions` for a stream and reads it to its end.
 * @throws Refused; Error when the stream fails; the signal's reason
 */
export async function streamCompletion(
  url: string,
  body: Readonly<Record<string, unknown>>,
  { apiKey, signal }: Client = {},
): Promise<StreamedCompletion> {
  const startedAt = performance.now();
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
    },
    ...(signal === undefined ? {} : { signal }),
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
  });
  if (!response.ok || response.body === null) throw new Refused(response, await response.text());
  let text = '';
  let firstTokenAt: number | null = null;
  let usage: Chunk['usage'] = null;
  for await (const chunk of events(response.body)) {
    if (chunk.error !== undefined) throw new Error(chunk.error.message);
    if ((chunk.choices?.length ?? 0) > 0) firstTokenAt ??= performance.now();
    for (const choice of chunk.choices ?? []) text += choice.text;
    usage = chunk.usage ?? usage;
  }
  if (firstTokenAt === null || !usage)
    throw new Error('the stream ended without a token or without its usage');
  return {
    text,
    promptTokens: usage.prompt_tokens,
    completionTokens: usage.completion_tokens,
    startedAt,
    firstTokenAt,
    endedAt: performance.now(),
  };
}

/** The events of a server-sent stream, up to `[DONE]`. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<Chunk> {
  const decoder = new TextDecoder();
  let pending = '';
  for await (const bytes of body) {
    pending += decoder.decode(bytes, { stream: true });
    const lines = pending.split('\n');
    pending = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('data: ')) continue;
      const data = line.slice('data: '.length);
      if (data === '[DONE]') return;
      yield JSON.parse(data) as Chunk;
    }
  }
}
